package nickname

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Resolver makes an address of whatever names a node. It is safe for
// concurrent use. A node takes what it gives:
//
//	peer, err := resolver.Resolve(ctx, "alice.peer")
//	conn, err := n.ConnectAddress(ctx, peer.Address)
type Resolver struct {
	Places   Places           // where names are kept; needed for nicknames
	Known    *Known           // pins keys at their first use; nil: nothing is remembered
	Contacts *Contacts        // petnames; nil: none
	Now      func() time.Time // default time.Now
}

// Resolution is a target that was found.
type Resolution struct {
	Address address.Address
	Name    Name   // of the nickname on the way; the zero Name if there was none
	First   bool   // the nickname was looked up for the first time
	Record  Record // of the nickname, if it was found now
	Warning string // what a person should know; usually empty
}

// Resolve takes a petname, a nickname, or an address in any form. Nicknames
// are looked up, which takes up to 8 s, and their keys compared to those known:
// a changed key is a *KeyChangedError, other failures are a *LookupError. Where
// a name is known and no place has anything to say that counts, the address of
// the last lookup is given with a warning: its key is the pinned one.
func (r *Resolver) Resolve(ctx context.Context, target string) (Resolution, error) {
	if r.Contacts != nil {
		other, ok, err := r.Contacts.Find(target)
		if err != nil {
			return Resolution{}, err
		}
		if ok {
			target = other
		}
	}
	if !LooksLikeName(target) {
		a, err := address.Parse(target)
		return Resolution{Address: a}, err
	}
	name, err := ParseName(target)
	if err != nil {
		return Resolution{}, err
	}
	return r.lookUp(ctx, name)
}

func (r *Resolver) lookUp(ctx context.Context, name Name) (Resolution, error) {
	if r.Places == nil {
		return Resolution{}, fmt.Errorf("%s: there is nowhere to look names up", name)
	}
	now := r.now()
	var pin Pin
	var last address.Address
	var seen time.Time
	if r.Known != nil {
		var err error
		if pin, last, seen, err = r.Known.Find(name); err != nil {
			return Resolution{}, err
		}
	}
	found := Resolution{Name: name, First: pin.Key.IsZero()}
	answers := r.Places.Fetch(ctx, name)
	if err := ctx.Err(); err != nil {
		return found, err
	}
	record, err := Choose(now, name, pin, answers)
	var failed *LookupError
	switch {
	case err == nil:
	case errors.As(err, &failed) && failed.Silent && !pin.Key.IsZero():
		found.Address = last
		found.Warning = fmt.Sprintf("%v. Using what was known on %s.", err, seen.UTC().Format(time.DateOnly))
		return found, nil
	default:
		return found, err
	}
	found.Address, found.Record = record.Address, record
	if r.Known != nil {
		if err := r.Known.Learn(now, record); err != nil {
			return found, err
		}
	}
	for _, a := range answers {
		if a.found() && a.Record.Key != record.Key && a.Record.Fresh(now) == nil && !a.Record.Released() {
			found.Warning = fmt.Sprintf("%s gives %s to another key, %s. The known key is used.", a.Place, name, a.Record.Key)
		}
	}
	return found, nil
}

// Accept looks a name up and makes key, which must be the one that it has now,
// the known one. It is how a person answers a *KeyChangedError.
func (r *Resolver) Accept(ctx context.Context, name Name, key address.Key) (Resolution, error) {
	now := r.now()
	record, err := Choose(now, name, Pin{Key: key}, r.Places.Fetch(ctx, name))
	if err != nil {
		return Resolution{}, err
	}
	return Resolution{Name: name, Address: record.Address, Record: record}, r.Known.Accept(now, record)
}

func (r *Resolver) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
