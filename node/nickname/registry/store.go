package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/nickname"
)

var (
	namesBucket = []byte("names") // name → stored
	looksBucket = []byte("looks") // Name.Looks → name
	metaBucket  = []byte("meta")
	keyEntry    = []byte("key")
)

// stored is an entry on disk.
type stored struct {
	Record    []byte `json:"record"`
	Origin    string `json:"origin"`
	Refreshed int64  `json:"refreshed"`
	Released  bool   `json:"released,omitempty"` // as the record says
}

// held is entry.holds, from what is on disk: the record is not checked.
func (s stored) held(now time.Time) bool {
	return !s.Released && now.Before(s.until())
}

func (s stored) until() time.Time { return time.Unix(s.Refreshed, 0).Add(nickname.Lasts) }

// openStore opens the file, which is made if missing, and gives the registry's
// key.
func openStore(path string) (*bbolt.DB, address.PrivateKey, error) {
	var key address.PrivateKey
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, key, fmt.Errorf("registry %q: another process has it open", path)
	}
	if err != nil {
		return nil, key, fmt.Errorf("registry %q: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{namesBucket, looksBucket, metaBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if b := meta.Get(keyEntry); b != nil {
			key, err = address.PrivateKeyFromBytes(b)
			return err
		}
		if key, err = address.GenerateKey(); err != nil {
			return err
		}
		return meta.Put(keyEntry, key.Bytes())
	})
	if err != nil {
		_ = db.Close()
		return nil, key, fmt.Errorf("registry %q: %w", path, err)
	}
	return db, key, nil
}

// find gives the entry of a name; nil for none. What can't be read is an error.
func find(tx *bbolt.Tx, name string) (*entry, error) {
	b := tx.Bucket(namesBucket).Get([]byte(name))
	if b == nil {
		return nil, nil
	}
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("entry %q: %w", name, err)
	}
	r, err := nickname.DecodeRecord(s.Record)
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", name, err)
	}
	return &entry{r, s.Origin, time.Unix(s.Refreshed, 0)}, nil
}

// findAlike gives the entry of the name that looks like this one, other than
// itself; nil for none.
func findAlike(tx *bbolt.Tx, name nickname.Name) (*entry, error) {
	other := tx.Bucket(looksBucket).Get([]byte(name.Looks()))
	if other == nil || string(other) == name.String() {
		return nil, nil
	}
	return find(tx, string(other))
}

func put(tx *bbolt.Tx, e *entry) error {
	b, err := json.Marshal(stored{e.record.Bytes(), e.origin, e.refreshed.Unix(), e.record.Released()})
	if err != nil {
		return err
	}
	name := e.record.Name
	if err := tx.Bucket(namesBucket).Put([]byte(name.String()), b); err != nil {
		return err
	}
	if e.record.Released() {
		return unlook(tx, name)
	}
	return tx.Bucket(looksBucket).Put([]byte(name.Looks()), []byte(name.String()))
}

// unlook takes a name out of those that others may look like.
func unlook(tx *bbolt.Tx, name nickname.Name) error {
	looks := tx.Bucket(looksBucket)
	if of := looks.Get([]byte(name.Looks())); string(of) == name.String() {
		return looks.Delete([]byte(name.Looks()))
	}
	return nil
}

// each calls do with what is stored of every name.
func each(tx *bbolt.Tx, do func(name string, s stored)) error {
	return tx.Bucket(namesBucket).ForEach(func(k, v []byte) error {
		var s stored
		if err := json.Unmarshal(v, &s); err != nil {
			return fmt.Errorf("entry %q: %w", k, err)
		}
		do(string(k), s)
		return nil
	})
}

// remove takes a name out.
func remove(tx *bbolt.Tx, name string) error {
	n, err := nickname.ParseName(name)
	if err == nil {
		err = unlook(tx, n)
	}
	return errors.Join(err, tx.Bucket(namesBucket).Delete([]byte(name)))
}
