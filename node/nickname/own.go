package nickname

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport-net/sallyport/address"
)

// Own are the names that belong to us, in a file, so that a node refreshes them
// and a sequence number is never used twice.
type Own struct{ t table[ownName] }

type ownName struct {
	Key      address.Key `json:"key"`
	Sequence uint64      `json:"sequence"` // the last one that was signed
}

// OpenOwn gives the names in the file at path, which need not exist yet.
func OpenOwn(path string) *Own {
	return &Own{table[ownName]{path: path, check: checkOwn, max: maxEntries}}
}

func checkOwn(name string, e ownName) error {
	if n, err := ParseName(name); err != nil || n.String() != name {
		return errors.New("not a canonical name")
	}
	if e.Key.IsZero() || e.Sequence > maxSequence {
		return errors.New("no key, or a wrong sequence")
	}
	return nil
}

// Names gives the names of a key, sorted.
func (o *Own) Names(key address.Key) ([]Name, error) {
	all, err := o.t.load()
	if err != nil {
		return nil, err
	}
	var names []Name
	for _, text := range slices.Sorted(maps.Keys(all)) {
		if n, err := ParseName(text); err == nil && all[text].Key == key {
			names = append(names, n)
		}
	}
	return names, nil
}

// Next gives the sequence number to sign a name's next record with: greater
// than all before, and than seen. It is written down first.
func (o *Own) Next(name Name, key address.Key, seen uint64) (next uint64, err error) {
	err = o.t.change(func(all map[string]ownName) error {
		e := all[name.String()]
		if e.Key != key {
			e = ownName{Key: key}
		}
		if seen > e.Sequence {
			e.Sequence = seen
		}
		if e.Sequence >= maxSequence {
			return fmt.Errorf("%s: no sequence number is left", name)
		}
		e.Sequence++
		next = e.Sequence
		all[name.String()] = e
		return nil
	})
	return next, err
}

// Forget removes a name that was given up.
func (o *Own) Forget(name Name) error {
	return o.t.change(func(all map[string]ownName) error {
		delete(all, name.String())
		return nil
	})
}
