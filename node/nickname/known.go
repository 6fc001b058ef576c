package nickname

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Known are the names that were looked up before, in a file: each with the key
// that it had then, as known_hosts has it for ssh.
type Known struct{ t table[knownName] }

type knownName struct {
	Key      address.Key `json:"key"`
	Sequence uint64      `json:"sequence"`
	Address  string      `json:"address"`
	First    int64       `json:"first"` // seconds since 1970
	Last     int64       `json:"last"`
}

// OpenKnown gives the names in the file at path, which need not exist yet.
func OpenKnown(path string) *Known {
	return &Known{table[knownName]{path: path, check: checkKnown, max: maxEntries}}
}

func checkKnown(name string, e knownName) error {
	if n, err := ParseName(name); err != nil || n.String() != name {
		return errors.New("not a canonical name")
	}
	if e.Key.IsZero() || e.Sequence > maxSequence {
		return errors.New("no key, or a wrong sequence")
	}
	if a, err := address.Parse(e.Address); err != nil || a.Key != e.Key {
		return errors.New("its address is none, or another key's")
	}
	return nil
}

// Find gives what is known of a name: the zero Pin for nothing.
func (k *Known) Find(name Name) (pin Pin, last address.Address, seen time.Time, err error) {
	all, err := k.t.load()
	if err != nil {
		return pin, last, seen, err
	}
	e, ok := all[name.String()]
	if !ok {
		return pin, last, seen, nil
	}
	last, err = address.Parse(e.Address)
	return Pin{e.Key, e.Sequence}, last, time.Unix(e.Last, 0), err
}

// Learn remembers the record of a name. A key that is not the known one is a
// *KeyChangedError, and changes nothing. When the file is full, the name that
// was not looked up for the longest time is forgotten.
func (k *Known) Learn(now time.Time, r Record) error { return k.put(now, r, false) }

// Accept is Learn that takes a new key for the known one.
func (k *Known) Accept(now time.Time, r Record) error { return k.put(now, r, true) }

func (k *Known) put(now time.Time, r Record, anyKey bool) error {
	name := r.Name.String()
	return k.t.change(func(all map[string]knownName) error {
		old, there := all[name]
		switch {
		case there && old.Key != r.Key && !anyKey:
			return &KeyChangedError{Name: r.Name, Known: old.Key, Now: r.Key}
		case there && old.Key == r.Key && old.Sequence > r.Sequence:
			return fmt.Errorf("%s: %w", name, ErrStale)
		case !there || old.Key != r.Key:
			old.First = now.Unix()
		}
		all[name] = knownName{r.Key, r.Sequence, r.Address.String(), old.First, now.Unix()}
		for len(all) > k.t.max {
			delete(all, oldest(all))
		}
		return nil
	})
}

// Forget removes a name, and reports whether it was there.
func (k *Known) Forget(name Name) (was bool, err error) {
	err = k.t.change(func(all map[string]knownName) error {
		_, was = all[name.String()]
		delete(all, name.String())
		return nil
	})
	return was, err
}

func oldest(all map[string]knownName) string {
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(all[a].Last - all[b].Last) })
	return names[0]
}
