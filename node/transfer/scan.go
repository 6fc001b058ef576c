package transfer

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Source is what lies on this machine to be sent.
type Source struct {
	Offer Offer
	// LeftOut are paths that are neither files nor folders, such as symbolic
	// links and sockets, and parts of unfinished transfers.
	LeftOut []string

	local []string // where each entry is
}

// Scan lists files and folders, with all that is in them. Symbolic links are
// followed where paths names them, and are left out where a folder has them.
// No file is read.
func Scan(ctx context.Context, paths []string) (*Source, error) {
	s := &Source{}
	c := newCollector(runtime.GOOS)
	for _, top := range paths {
		whole, err := filepath.Abs(top)
		if err == nil {
			whole, err = filepath.EvalSymlinks(whole)
		}
		if err != nil {
			return nil, err
		}
		name, err := TopName(top)
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(whole, func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			inner, err := filepath.Rel(whole, path)
			if err != nil {
				return err
			}
			e := Entry{Path: name}
			if inner != "." {
				e.Path += "/" + filepath.ToSlash(inner)
			}
			if !d.IsDir() && !d.Type().IsRegular() || isPart(path) {
				s.LeftOut = append(s.LeftOut, path)
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			e.Folder, e.Mode, e.Modified = d.IsDir(), info.Mode().Perm(), info.ModTime()
			if !e.Folder {
				e.Size = info.Size()
			}
			if err := checkPath(e.Path); err != nil {
				return err
			}
			s.local = append(s.local, path)
			return c.add(e)
		})
		if err != nil {
			return nil, err
		}
	}
	s.Offer = c.offer
	if len(s.Offer.Entries) == 0 {
		return nil, fmt.Errorf("there is nothing to send")
	}
	return s, nil
}

// TopName is the name under which a file or folder arrives.
func TopName(path string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	name := filepath.Base(whole)
	if whole == filepath.Dir(whole) {
		return "", &NameError{path, "is a whole disk; name a folder on it"}
	}
	return name, checkPath(name)
}

// open opens the file of an entry, which must be as it was offered.
func (s *Source) open(index int) (*os.File, error) {
	f, err := os.Open(s.local[index])
	if err == nil {
		err = s.same(f, index)
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	return f, nil
}

// same wants the size and the time of modification that were offered.
func (s *Source) same(f *os.File, index int) error {
	e := s.Offer.Entries[index]
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != e.Size || !info.ModTime().Equal(e.Modified)) {
		err = &StopError{Reason: Impossible, Text: fmt.Sprintf("%q has changed since it was offered", clip(e.Path))}
	}
	return err
}

// clip shortens a path for a message.
func clip(path string) string {
	const most = 100
	if len(path) <= most {
		return path
	}
	return "…" + path[len(path)-most:]
}
