package memory

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	version = 1
	// maxFile bounds a file in bytes: a full memory takes less.
	maxFile = 2 << 20
)

type file struct {
	Version int    `json:"version"`
	Pairs   []pair `json:"pairs"`
}

type pair struct {
	Pair string `json:"pair"`
	Ways []way  `json:"ways"`
}

type way struct {
	Way
	Worked     int   `json:"worked"`
	Failed     int   `json:"failed"`
	LastWorked int64 `json:"last_worked"`
	LastFailed int64 `json:"last_failed"`
}

// Load reads a file that Save has written; none is an empty memory. A damaged
// file is set aside, as path with ".damaged" behind it, and is an error, with a
// memory that is empty and usable all the same.
func Load(now time.Time, path string) (*Memory, error) {
	m := &Memory{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return m, err
	}
	if read, err := Parse(now, b); err == nil {
		return read, nil
	} else if aside := os.Rename(path, path+".damaged"); aside != nil {
		return m, fmt.Errorf("%q is damaged: %w (and could not be set aside: %v)", path, err, aside)
	} else {
		return m, fmt.Errorf("%q is damaged and was set aside: %w", path, err)
	}
}

// Parse reads what Save writes, at most 2 MiB. Fields that it does not know it
// passes over; anything else that is not as it should be is an error.
func Parse(now time.Time, b []byte) (*Memory, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Version != version {
		return nil, fmt.Errorf("version %d is unknown", f.Version)
	}
	m := &Memory{}
	for _, p := range f.Pairs {
		var name Pair
		if b, err := hex.DecodeString(p.Pair); err != nil || copy(name[:], b) != len(b) || len(b) != len(name) {
			return nil, fmt.Errorf("pair %q is not 32 hex digits", p.Pair)
		}
		if len(p.Ways) > MaxWays {
			return nil, fmt.Errorf("pair %s: %d ways, at most %d", p.Pair, len(p.Ways), MaxWays)
		}
		var ways []record
		for _, w := range p.Ways {
			r, err := w.record()
			if err != nil {
				return nil, fmt.Errorf("pair %s: %w", p.Pair, err)
			}
			ways = amend(ways, r.way, func(old *record) { *old = r })
		}
		m.set(name, ways)
	}
	m.prune(now)
	return m, nil
}

func (w way) record() (record, error) {
	if !w.valid() {
		return record{}, fmt.Errorf("strategy %q, method %q: want short words", w.Strategy, w.Method)
	}
	if w.Worked < 0 || w.Worked > maxCount || w.Failed < 0 || w.Failed > maxCount {
		return record{}, fmt.Errorf("worked %d, failed %d: want 0 to %d", w.Worked, w.Failed, maxCount)
	}
	if (w.Worked > 0) != (w.LastWorked > 0) || w.Failed > 0 && w.LastFailed <= 0 {
		return record{}, errors.New("a count without a time, or a time without a count")
	}
	return record{
		way: w.Way, worked: w.Worked, failed: w.Failed,
		lastWorked: fromUnix(w.LastWorked), lastFailed: fromUnix(w.LastFailed),
	}, nil
}

func fromUnix(sec int64) time.Time {
	if sec <= 0 {
		return time.Time{}
	}
	return time.Unix(min(sec, 1<<40), 0)
}

func toUnix(t time.Time) int64 { return max(t.Unix(), 0) }

// Save writes the memory to path, mode 0600, at once or not at all. What
// another process has put there meanwhile is taken over first.
func (m *Memory) Save(now time.Time, path string) error {
	if there, err := Load(now, path); err == nil {
		m.merge(now, there)
	}
	b, err := json.Marshal(m.file())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (m *Memory) file() file {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := file{Version: version, Pairs: []pair{}}
	for _, p := range m.order() {
		e := pair{Pair: hex.EncodeToString(p[:])}
		for _, r := range m.pairs[p] {
			e.Ways = append(e.Ways, way{r.way, r.worked, r.failed, toUnix(r.lastWorked), toUnix(r.lastFailed)})
		}
		f.Pairs = append(f.Pairs, e)
	}
	return f
}
