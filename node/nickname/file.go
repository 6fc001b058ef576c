package nickname

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	fileVersion = 1
	// maxFile bounds each of the files in bytes, maxEntries their entries.
	maxFile    = 8 << 20
	maxEntries = 4096
)

// table is a file of entries by name: {"version":1,"entries":{…}}. A missing
// file is an empty one; a damaged one is an error and stays as it is: pins that
// vanish silently protect nobody.
type table[E any] struct {
	path  string
	check func(name string, e E) error
	max   int // entries
	mu    sync.Mutex
}

type tableFile[E any] struct {
	Version int          `json:"version"`
	Entries map[string]E `json:"entries"`
}

func (t *table[E]) load() (map[string]E, error) {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]E{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	entries, err := t.parse(b)
	if err != nil {
		return nil, fmt.Errorf("%q is damaged: %w; repair it, or move it away", t.path, err)
	}
	return entries, nil
}

func (t *table[E]) parse(b []byte) (map[string]E, error) {
	var file tableFile[E]
	if len(b) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	if file.Version != fileVersion {
		return nil, fmt.Errorf("version %d is unknown", file.Version)
	}
	if len(file.Entries) > t.max {
		return nil, fmt.Errorf("more than %d entries", t.max)
	}
	for name, e := range file.Entries {
		if err := t.check(name, e); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
	}
	if file.Entries == nil {
		file.Entries = map[string]E{}
	}
	return file.Entries, nil
}

// change rewrites the file, mode 0600, at once or not at all. Other processes
// wait meanwhile, as far as they come by here.
func (t *table[E]) change(change func(map[string]E) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return err
	}
	unlock, err := lockFile(t.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := t.load()
	if err != nil {
		return err
	}
	if err := change(entries); err != nil {
		return err
	}
	if len(entries) > t.max {
		return fmt.Errorf("%q is full: %d entries", t.path, t.max)
	}
	b, err := json.MarshalIndent(tableFile[E]{fileVersion, entries}, "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(t.path), filepath.Base(t.path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), t.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
