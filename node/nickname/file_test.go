package nickname

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

func TestKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "known-names.json")
	k := OpenKnown(path)
	n := name(t, "alice.peer")
	if pin, _, _, err := k.Find(n); err != nil || pin != (Pin{}) {
		t.Fatalf("%v, %v", pin, err)
	}
	if err := k.Learn(noon, signed(t, alice, n, 4, noon)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	unharmed := func(what string) {
		t.Helper()
		pin, at, seen, err := OpenKnown(path).Find(n)
		if err != nil || pin != (Pin{alice.Public(), 4}) || at.Key != alice.Public() || !seen.Equal(noon) {
			t.Fatalf("after %s: %v, %v, %v, %v", what, pin, at, seen, err)
		}
	}
	unharmed("learning")
	var changed *KeyChangedError
	if err := k.Learn(noon.Add(time.Hour), signed(t, mallory, n, 90, noon)); !errors.As(err, &changed) {
		t.Errorf("another key: %v", err)
	}
	unharmed("another key")
	if err := k.Learn(noon.Add(time.Hour), signed(t, alice, n, 3, noon)); !errors.Is(err, ErrStale) {
		t.Errorf("an older record: %v", err)
	}
	unharmed("an older record")
	if err := k.Accept(noon, signed(t, mallory, n, 1, noon)); err != nil {
		t.Fatal(err)
	}
	if pin, _, _, _ := k.Find(n); pin != (Pin{mallory.Public(), 1}) {
		t.Errorf("accepted: %v", pin)
	}
	if was, err := k.Forget(n); !was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
	if was, err := k.Forget(n); was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
}

// A damaged file is not an empty one: its pins would be lost in silence.
func TestDamagedFilesAreRefused(t *testing.T) {
	for what, text := range map[string]string{
		"empty": "", "not JSON": "{", "another version": `{"version":2}`,
		"a bad name":            `{"version":1,"entries":{"Alice":{"key":"` + alice.Public().String() + `"}}}`,
		"no key":                `{"version":1,"entries":{"alice.peer":{"sequence":1}}}`,
		"another key's address": `{"version":1,"entries":{"alice.peer":{"key":"` + alice.Public().String() + `","sequence":1,"address":"` + mallory.Public().String() + `"}}}`,
		"too large":             `{"version":1}` + strings.Repeat(" ", maxFile),
	} {
		path := filepath.Join(t.TempDir(), "known-names.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k := OpenKnown(path)
		if _, _, _, err := k.Find(name(t, "alice.peer")); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", what, err)
		}
		if err := k.Learn(noon, signed(t, alice, name(t, "alice.peer"), 4, noon)); err == nil {
			t.Errorf("%s: written over", what)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s: changed", what)
		}
	}
}

func TestKnownIsBounded(t *testing.T) {
	const few = 16
	k := OpenKnown(filepath.Join(t.TempDir(), "known-names.json"))
	k.t.max = few
	r := signed(t, alice, name(t, "alice.peer"), 4, noon)
	err := k.t.change(func(all map[string]knownName) error {
		for n := range few {
			all[fmt.Sprintf("n%d.peer", n)] = knownName{Key: r.Key, Sequence: 1, Address: r.Address.String(), Last: int64(1000 + n)}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Learn(noon, r); err != nil {
		t.Fatal(err)
	}
	all, err := k.t.load()
	if err != nil || len(all) != few {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	if _, there := all["n0.peer"]; there {
		t.Error("it is not the oldest that was forgotten")
	}
	// What is no pin is not forgotten for another's sake.
	c := OpenContacts(filepath.Join(t.TempDir(), "contacts.json"))
	c.t.max = few
	if err := c.t.change(func(all map[string]string) error {
		for n := range few + 1 {
			all[fmt.Sprintf("n%d", n)] = "alice.peer"
		}
		return nil
	}); err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("%v", err)
	}
}

func TestOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own-names.json")
	n := name(t, "alice.peer")
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for range 8 { // as many processes, each with an Own of its own
		all.Go(func() {
			o := OpenOwn(path)
			for range 3 {
				next, err := o.Next(n, alice.Public(), 0)
				mu.Lock()
				if err != nil || seen[next] {
					t.Errorf("%d twice, %v", next, err)
				}
				seen[next] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	o := OpenOwn(path)
	if next, err := o.Next(n, alice.Public(), 1000); err != nil || next != 1001 {
		t.Errorf("%d, %v", next, err)
	}
	if next, err := o.Next(n, alice.Public(), 0); err != nil || next != 1002 {
		t.Errorf("%d, %v", next, err)
	}
	if _, err := o.Next(n, alice.Public(), maxSequence); err == nil {
		t.Error("beyond the last sequence")
	}
	if names, err := o.Names(alice.Public()); err != nil || len(names) != 1 || names[0] != n {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := o.Names(mallory.Public()); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if next, err := o.Next(n, mallory.Public(), 0); err != nil || next != 1 {
		t.Errorf("another key: %d, %v", next, err)
	}
	if err := o.Forget(n); err != nil {
		t.Fatal(err)
	}
	if names, _ := o.Names(mallory.Public()); len(names) != 0 {
		t.Errorf("%v", names)
	}
}

func TestContacts(t *testing.T) {
	c := OpenContacts(filepath.Join(t.TempDir(), "contacts.json"))
	id := alice.Public().String()
	if added, err := c.Add("Bob", id, false); err != nil || added != (Contact{"bob", id}) {
		t.Fatalf("%v, %v", added, err)
	}
	if _, err := c.Add("bob", id, false); err != nil {
		t.Errorf("the same again: %v", err)
	}
	var there *ContactExistsError
	if _, err := c.Add("bob", mallory.Public().String(), false); !errors.As(err, &there) || there.Target != id {
		t.Errorf("%v", err)
	}
	if target, ok, err := c.Find("BOB"); !ok || err != nil || target != id {
		t.Errorf("%q, %v, %v", target, ok, err)
	}
	if _, err := c.Add("bob", "Alice.Peer", true); err != nil {
		t.Fatal(err)
	}
	if list, err := c.List(); err != nil || len(list) != 1 || list[0] != (Contact{"bob", "alice.peer"}) {
		t.Errorf("%v, %v", list, err)
	}
	for name, target := range map[string]string{
		"0-0-0-foreign-m": id, // an address already
		"al ice":          id,
		"b\u043eb":        id,
		"carol":           "nonsense",
		"dave":            "b\u043eb.peer",
		"erin":            "bob", // a contact of a contact
		"frank":           "0-0-0-foreign-m",
		"grace":           id + "x",
		"bob.peer":        id,
	} {
		if added, err := c.Add(name, target, false); err == nil {
			t.Errorf("%q, %q: added as %v", name, target, added)
		}
	}
	if _, ok, err := c.Find("alice.peer"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if was, err := c.Remove("bob"); !was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
	if was, err := c.Remove("bob"); was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
}

func FuzzFiles(f *testing.F) {
	id := address.Address{Key: alice.Public()}.String()
	f.Add([]byte(`{"version":1,"entries":{"alice.peer":{"key":"` + id + `","sequence":1,"address":"` + id + `","first":1,"last":2}}}`))
	f.Add([]byte(`{"version":1,"entries":{"bob":"` + id + `"}}`))
	f.Add([]byte(`{"version":1,"entries":null}`))
	f.Add([]byte(`{`))
	known, own, contacts := OpenKnown(""), OpenOwn(""), OpenContacts("")
	f.Fuzz(func(t *testing.T, b []byte) {
		if all, err := known.t.parse(b); err == nil {
			for name, e := range all {
				if a, err := address.Parse(e.Address); err != nil || a.Key != e.Key || e.Key.IsZero() {
					t.Fatalf("%q: %+v", name, e)
				}
			}
		}
		if all, err := own.t.parse(b); err == nil && all == nil {
			t.Fatal("nil")
		}
		if all, err := contacts.t.parse(b); err == nil {
			for name, target := range all {
				if _, err := canonicalTarget(target); err != nil {
					t.Fatalf("%q: %q", name, target)
				}
			}
		}
	})
}
