package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// item is a file of the offer, and what there is of it.
type item struct {
	Entry
	index       int
	local, part string
	whole       bool  // what there is has the final name
	have        []sum // of blocks that are there
}

// held is how many bytes that is.
func (i *item) held() int64 { return min(int64(len(i.have))*Block, i.Size) }

// look finds what there is of one file.
func (g *receiving) look(it *item) error {
	info, err := g.Root.Lstat(it.local)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return inTheWay(it.Path, info)
	case err == nil && info.Size() == it.Size:
		it.whole = true
		return g.hash(it, it.local, it.Size)
	case err == nil && !g.Overwrite:
		return differs(it.Path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return outside(it.Path, err)
	}
	info, err = g.Root.Lstat(it.part)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return outside(it.Path, err)
	case !info.Mode().IsRegular():
		return inTheWay(it.part, info)
	}
	n := min(info.Size(), it.Size)
	if n < it.Size {
		n -= n % Block
	}
	return g.hash(it, it.part, n)
}

// open opens the part of a file, with nothing in it but what is good.
func (g *receiving) open(it *item, from int64) error {
	if info, err := g.Root.Lstat(it.part); err == nil && !info.Mode().IsRegular() {
		return inTheWay(it.part, info)
	}
	f, err := g.Root.OpenFile(it.part, os.O_RDWR|os.O_CREATE, it.Mode|0o600)
	if err == nil && it.whole {
		err = g.copyFrom(it, f, from)
	}
	if err == nil {
		err = f.Truncate(from)
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return outside(it.Path, err)
	}
	g.into, g.at = f, from
	return nil
}

// copyFrom is for a file that begins as the one that it is to replace.
func (g *receiving) copyFrom(it *item, to *os.File, n int64) error {
	f, err := g.Root.Open(it.local)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(to, f, n)
	return err
}

// name gives a whole file its time and its name.
func (g *receiving) name(it *item) error {
	if err := g.into.Close(); err != nil {
		return outside(it.Path, err)
	}
	if !g.Overwrite {
		if _, err := g.Root.Lstat(it.local); err == nil {
			return differs(it.Path)
		}
	}
	_ = g.Root.Chtimes(it.part, it.Modified, it.Modified) // some file systems keep none
	if err := g.Root.Rename(it.part, it.local); err != nil {
		return outside(it.Path, err)
	}
	return nil
}

func inTheWay(name string, info fs.FileInfo) error {
	what := "something that is no file"
	switch {
	case info.IsDir():
		what = "a folder"
	case info.Mode()&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case info.Mode().IsRegular():
		what = "a file"
	}
	return &StopError{Reason: Impossible, Text: fmt.Sprintf("%s is in the way, with the name %q", what, clip(name))}
}

// differs is a file that is there and is another one.
func differs(name string) error {
	return &StopError{Reason: Impossible, Text: fmt.Sprintf("%q is there already, and differs", clip(name))}
}

// outside is a path that the folder does not let us use, as when a symbolic
// link in it leads elsewhere. For want of room it is a pause: what is here is
// kept, and the same goes on from there.
func outside(name string, err error) error {
	if isFull(err) {
		return &StopError{Reason: Paused, Text: "the disk is full"}
	}
	return fmt.Errorf("%q can't be made there: %w", clip(name), err)
}
