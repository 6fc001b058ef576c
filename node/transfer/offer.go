package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// What an offer may come to.
const (
	// MaxEntries is how many files and folders one transfer may have.
	MaxEntries   = 200_000
	maxPaths     = 32 << 20 // bytes of all paths
	maxSize      = 1 << 50  // bytes of all files
	entryHead    = 1 + 2 + 8 + 8
	latestMtime  = 253402300799 // seconds: the end of the year 9999
	maxEntrySize = entryHead + maxPath
)

// Entry is a file or folder that is offered.
type Entry struct {
	Path     string // "/" between its names
	Folder   bool
	Size     int64 // bytes; 0 for folders
	Mode     fs.FileMode
	Modified time.Time
}

func (e Entry) encode() []byte {
	b := make([]byte, entryHead, entryHead+len(e.Path))
	if e.Folder {
		b[0] = 1
	}
	binary.BigEndian.PutUint16(b[1:], uint16(e.Mode.Perm()))
	binary.BigEndian.PutUint64(b[3:], uint64(e.Size))
	binary.BigEndian.PutUint64(b[11:], uint64(e.Modified.UnixNano()))
	return append(b, e.Path...)
}

// decodeEntry reads an entry and checks all that concerns it alone.
func decodeEntry(b []byte) (e Entry, err error) {
	if len(b) < entryHead || len(b) > maxEntrySize || b[0] > 1 {
		return e, errors.New("a malformed entry")
	}
	e.Folder = b[0] == 1
	perm := binary.BigEndian.Uint16(b[1:])
	size := binary.BigEndian.Uint64(b[3:])
	e.Modified = time.Unix(0, int64(binary.BigEndian.Uint64(b[11:])))
	e.Path = string(b[entryHead:])
	if perm > 0o777 || size > maxSize || e.Folder && size > 0 {
		return e, fmt.Errorf("%.100q has a size or permissions that can't be", e.Path)
	}
	e.Mode, e.Size = fs.FileMode(perm), int64(size)
	return e, checkPath(e.Path)
}

// Offer is what a sender has: every folder stands before what is in it.
type Offer struct{ Entries []Entry }

// Files is how many files there are, folders aside.
func (o Offer) Files() int {
	n := 0
	for _, e := range o.Entries {
		if !e.Folder {
			n++
		}
	}
	return n
}

// Size is the number of bytes of all files.
func (o Offer) Size() int64 {
	var n int64
	for _, e := range o.Entries {
		n += e.Size
	}
	return n
}

// Top gives the entries that lie in no folder of the offer.
func (o Offer) Top() []Entry {
	var top []Entry
	for _, e := range o.Entries {
		if !strings.Contains(e.Path, "/") {
			top = append(top, e)
		}
	}
	return top
}

// Digest tells one offer from another.
func (o Offer) Digest() [32]byte {
	h := sha256.New()
	for _, e := range o.Entries {
		b := e.encode()
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	return [32]byte(h.Sum(nil))
}

// collector puts an offer together, entry by entry, and checks what concerns
// them together.
type collector struct {
	offer  Offer
	folder map[string]bool // by path as it is kept; whether it is one
	paths  int
	size   int64
	fold   bool   // names differ by more than their case
	goos   string // of the receiver
}

func newCollector(goos string) *collector {
	return &collector{folder: make(map[string]bool), goos: goos, fold: goos == "windows" || goos == "darwin"}
}

func (c *collector) add(e Entry) error {
	kept := localPath(e.Path, c.goos)
	if c.fold {
		kept = strings.ToLower(kept)
	}
	parent := path.Dir(kept)
	c.paths += len(e.Path)
	c.size += e.Size
	_, twice := c.folder[kept]
	switch {
	case len(c.offer.Entries) >= MaxEntries:
		return fmt.Errorf("there are more than %d files and folders", MaxEntries)
	case c.paths > maxPaths:
		return fmt.Errorf("the names have more than %d MiB", maxPaths>>20)
	case c.size > maxSize:
		return errors.New("the files are larger than anything can be")
	case twice:
		return &NameError{e.Path, "comes twice, or can't be told from another here"}
	case parent != "." && !c.folder[parent]:
		return &NameError{e.Path, "is in a folder that is not offered"}
	}
	c.folder[kept] = e.Folder
	c.offer.Entries = append(c.offer.Entries, e)
	return nil
}
