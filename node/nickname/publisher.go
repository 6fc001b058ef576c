package nickname

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Publisher signs and stores the records of our own names.
type Publisher struct {
	Key    address.PrivateKey
	Places Places
	Own    *Own
	// Self gives the address that names lead to. Its interfaces are public to
	// all who know the name; an address with a key and brokers is enough.
	Self func() address.Address
	Now  func() time.Time // default time.Now
}

// StoreError is a record that no place took, or that a place refused.
type StoreError struct {
	Name    Name
	Answers []Answer
}

func (e *StoreError) Error() string {
	if no := e.refusal(); no != nil {
		return fmt.Sprintf("%s: %s", e.Name, no.Reason)
	}
	text := e.Name.String() + " could not be stored"
	sep := ": "
	for _, a := range e.Answers {
		if a.Err != nil {
			text += fmt.Sprintf("%s%s: %s", sep, a.Place, a.reason())
			sep = "; "
		}
	}
	return text
}

// Unwrap gives what each place met.
func (e *StoreError) Unwrap() []error {
	var errs []error
	for _, a := range e.Answers {
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
	}
	return errs
}

func (e *StoreError) refusal() *RefusedError {
	var no *RefusedError
	for _, a := range e.Answers {
		if errors.As(a.Err, &no) {
			return no
		}
	}
	return nil
}

// Hint is one thing to try.
func (e *StoreError) Hint() string {
	no := e.refusal()
	switch {
	case errors.Is(e, ErrNoRegistry):
		return "try --registry with the URL of one, or a self-certifying name: sallyport nick claim " + e.Name.label
	case no == nil:
		return "try again; a node that runs tries again by itself"
	case no.Status == Taken || no.Status == Alike:
		return "try another name, or a self-certifying one: sallyport nick claim " + e.Name.label
	case no.Status == Clock:
		return "set this machine's clock"
	}
	return ""
}

// Publish stores a new record of the name, with a greater sequence number than
// any before. A place that refuses it makes it a *StoreError, though others may
// have taken it; places that do not answer do so only if none has.
func (p Publisher) Publish(ctx context.Context, name Name) (Record, error) {
	return p.store(ctx, name, p.Self())
}

// Owns reports whether the name is ours: by what is written down here, or else
// by what the places have. It fails where that is not known.
func (p Publisher) Owns(ctx context.Context, name Name) (bool, error) {
	names, err := p.Own.Names(p.Key.Public())
	if err != nil || slices.Contains(names, name) {
		return err == nil, err
	}
	answers := p.Places.Fetch(ctx, name)
	silent := true
	for _, a := range answers {
		if a.found() && a.Record.Key == p.Key.Public() && !a.Record.Released() {
			return true, nil
		}
		silent = silent && a.Err != nil
	}
	if silent {
		return false, &LookupError{Name: name, Cause: ErrUnreachable, Answers: answers}
	}
	return false, nil
}

// Release gives the name up.
func (p Publisher) Release(ctx context.Context, name Name) error {
	_, err := p.store(ctx, name, address.Address{})
	return err
}

func (p Publisher) store(ctx context.Context, name Name, a address.Address) (Record, error) {
	if !name.Admits(p.Key.Public()) {
		return Record{}, fmt.Errorf("%s: %w", name, ErrOwner)
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	for again := false; ; again = true {
		seen := p.seen(p.Places.Fetch(ctx, name))
		next, err := p.Own.Next(name, p.Key.Public(), seen)
		if err != nil {
			return Record{}, err
		}
		r, err := Sign(p.Key, name, next, now(), a)
		if err != nil {
			return Record{}, err
		}
		answers := p.Places.Store(ctx, r)
		if err := ctx.Err(); err != nil {
			return Record{}, err
		}
		failed := &StoreError{Name: name, Answers: answers}
		no, took := failed.refusal(), 0
		for _, got := range answers {
			if got.Err == nil {
				took++
			}
		}
		if no != nil && no.Status == Outdated && !again {
			continue // a lookup that met nobody did not tell of it
		}
		if no != nil || took == 0 {
			return r, failed
		}
		return r, nil
	}
}

// seen is the greatest sequence number of ours that a place has.
func (p Publisher) seen(answers []Answer) uint64 {
	var most uint64
	for _, a := range answers {
		if a.found() && a.Record.Key == p.Key.Public() {
			most = max(most, a.Record.Sequence)
		}
	}
	return most
}

// Current reports whether every place that answers still has a good record of
// ours that leads to the present address, with more than half of its time left.
func (p Publisher) Current(ctx context.Context, name Name) bool {
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	self := p.Self().String()
	here := 0
	for _, a := range p.Places.Fetch(ctx, name) {
		switch {
		case a.found() && a.Record.Key == p.Key.Public() && a.Record.Address.String() == self &&
			a.Record.Expires.Sub(now()) > Lasts/2 && a.Record.Fresh(now()) == nil:
			here++
		case a.Err != nil && !errors.Is(a.Err, ErrForged) && !errors.Is(a.Err, ErrOwner) && !errors.Is(a.Err, ErrMalformed):
		default:
			return false
		}
	}
	return here > 0
}
