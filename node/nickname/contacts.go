package nickname

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport-net/sallyport/address"
)

// Contacts are petnames: names that hold on this machine only, for addresses
// and nicknames, in a file.
type Contacts struct{ t table[string] }

// Contact is one petname.
type Contact struct {
	Name   string // a label, as in ParseLabel
	Target string // an address in any form, a node id, or a nickname
}

// OpenContacts gives the contacts in the file at path, which need not exist yet.
func OpenContacts(path string) *Contacts {
	return &Contacts{table[string]{path: path, check: checkContact, max: maxEntries}}
}

func checkContact(name, target string) error {
	if label, err := ParseLabel(name); err != nil || label != name {
		return errors.New("not a canonical petname")
	}
	_, err := canonicalTarget(target)
	return err
}

// canonicalTarget checks what a petname may stand for: anything but a petname.
func canonicalTarget(target string) (string, error) {
	if LooksLikeName(target) {
		n, err := ParseName(target)
		return n.String(), err
	}
	a, err := address.Parse(target)
	if err != nil {
		return "", err
	}
	if a.Foreign != "" {
		return "", fmt.Errorf("%q is not a key, so nobody can prove to be that node", a.Foreign)
	}
	return target, nil
}

// Add keeps a target under a name. One that is there already is left alone,
// and is an error, unless replace says so.
func (c *Contacts) Add(name, target string, replace bool) (Contact, error) {
	label, err := ParseLabel(name)
	if err != nil {
		return Contact{}, err
	}
	if _, err := address.Parse(label); err == nil {
		return Contact{}, fmt.Errorf("name %q: it is an address already", label)
	}
	if target, err = canonicalTarget(target); err != nil {
		return Contact{}, err
	}
	return Contact{label, target}, c.t.change(func(all map[string]string) error {
		if old, there := all[label]; there && old != target && !replace {
			return &ContactExistsError{Contact{label, old}}
		}
		all[label] = target
		return nil
	})
}

// ContactExistsError is for a petname that stands for something else already.
type ContactExistsError struct{ Contact }

func (e *ContactExistsError) Error() string {
	return fmt.Sprintf("there is a contact %q already, for %s", e.Name, e.Target)
}

// Hint says how to get on.
func (e *ContactExistsError) Hint() string { return "try another name, or add --replace" }

// Find gives a petname's target. ok is false where there is none, for a text
// that is no petname too.
func (c *Contacts) Find(name string) (target string, ok bool, err error) {
	label, err := ParseLabel(name)
	if err != nil {
		return "", false, nil
	}
	all, err := c.t.load()
	if err != nil {
		return "", false, err
	}
	target, ok = all[label]
	return target, ok, nil
}

// List gives all contacts by name.
func (c *Contacts) List() ([]Contact, error) {
	all, err := c.t.load()
	list := []Contact{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, Contact{name, all[name]})
	}
	return list, err
}

// Remove forgets a contact, and reports whether it was there.
func (c *Contacts) Remove(name string) (was bool, err error) {
	label, err := ParseLabel(name)
	if err != nil {
		return false, err
	}
	err = c.t.change(func(all map[string]string) error {
		_, was = all[label]
		delete(all, label)
		return nil
	})
	return was, err
}
