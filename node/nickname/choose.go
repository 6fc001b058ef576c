package nickname

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Answer is what one place, a registry or a broker, said of a name.
type Answer struct {
	Place  string // for people
	Record Record // the zero Record: it has none
	Err    error  // it gave no answer, or one that is refused
}

// found reports whether there is a record.
// reason is why there is no record, in a few words. What a place met that could
// not be reached may be a long list of endpoints, and is left to Unwrap.
func (a Answer) reason() string {
	if errors.Is(a.Err, ErrNoAnswer) {
		return ErrNoAnswer.Error()
	}
	return a.Err.Error()
}

func (a Answer) found() bool { return a.Err == nil && !a.Record.Key.IsZero() }

// Pin is what is remembered of a name.
type Pin struct {
	Key      address.Key
	Sequence uint64
}

var (
	// ErrNotFound is for a name that every place that answered does not have.
	ErrNotFound = errors.New("nobody has this name")
	// ErrUnreachable is for a name of which no place said anything.
	ErrUnreachable = errors.New("no place that keeps this name has answered")
	// ErrNoAnswer is what a place met that could not be reached.
	ErrNoAnswer = errors.New("no answer")
	// ErrNoRegistry is for a suffix without a registry to ask.
	ErrNoRegistry = errors.New("no registry is configured")
	// ErrDisagree is for a name that several keys claim, none of which is known.
	ErrDisagree = errors.New("the registries disagree on whose name this is")
)

// LookupError is a failed lookup: why, and what each place said.
type LookupError struct {
	Name    Name
	Cause   error // ErrNotFound, ErrUnreachable, ErrDisagree, ErrExpired, …
	Answers []Answer
	// Silent says that no place has anything to say that counts: for a name
	// that is known, the lookup has changed nothing.
	Silent bool
}

func (e *LookupError) Error() string {
	if len(e.Answers) == 1 && errors.Is(e.Answers[0].Err, ErrNoRegistry) {
		return fmt.Sprintf("%s: %v", e.Name, e.Answers[0].Err) // nobody was asked
	}
	var b strings.Builder
	told := -1 // the answer that tells of the cause, and more, if one alone does
	for n, a := range e.Answers {
		if errors.Is(a.Err, e.Cause) {
			if told >= 0 {
				told = -1
				break
			}
			told = n
		}
	}
	if told >= 0 {
		fmt.Fprintf(&b, "%s: %v", e.Name, e.Answers[told].Err)
	} else {
		fmt.Fprintf(&b, "%s: %v", e.Name, e.Cause)
	}
	sep := " ("
	for n, a := range e.Answers {
		switch {
		case n == told, errors.Is(e.Cause, ErrNotFound) && a.Err == nil:
			continue // said already
		case a.Err != nil:
			fmt.Fprintf(&b, "%s%s: %s", sep, a.Place, a.reason())
		case !a.Record.Key.IsZero():
			fmt.Fprintf(&b, "%s%s: %s", sep, a.Place, a.Record.Key)
		default:
			fmt.Fprintf(&b, "%s%s: has none", sep, a.Place)
		}
		sep = "; "
	}
	if sep == "; " {
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap gives the cause, and what each place met.
func (e *LookupError) Unwrap() []error {
	errs := []error{e.Cause}
	for _, a := range e.Answers {
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
	}
	return errs
}

// Hint is one thing to try.
func (e *LookupError) Hint() string {
	switch {
	case errors.Is(e.Cause, ErrNotFound):
		return "check the spelling, or ask its owner to run \"sallyport nick show\""
	case errors.Is(e.Cause, ErrDisagree):
		return "ask the owner for the address or the node id, and use that"
	case errors.Is(e, ErrNoRegistry):
		return "try --registry with the URL of one, or ask the owner for the address"
	case errors.Is(e.Cause, ErrUnreachable):
		return "try again, or ask the owner for the address"
	}
	return ""
}

// KeyChangedError is the refusal of a name whose key is not the known one.
type KeyChangedError struct {
	Name  Name
	Known address.Key
	Now   address.Key
}

func (e *KeyChangedError) Error() string {
	return fmt.Sprintf("WARNING: THE KEY OF %s HAS CHANGED. Known is %s, now it is %s. "+
		"Somebody else may have taken the name. It was not used, and what was known is kept",
		e.Name, e.Known, e.Now)
}

// Hint is the command that accepts the new key.
func (e *KeyChangedError) Hint() string {
	return fmt.Sprintf("ask the owner, on another way, for the node id; if it is the new one, run: sallyport nick accept %s %s", e.Name, e.Now)
}

// Choose decides between the answers of several places at now. The pin is zero
// for a name that is not known yet.
//
//   - Records that are not Fresh, or of a lower sequence than the pin's, do not
//     count.
//   - Of records by one key the greatest sequence wins; of two with the same
//     one, which an honest owner never makes, the later issue.
//   - Where places give records by several keys, the pinned one wins. Without
//     a pin they must agree, or the name is refused.
//   - A key other than the pinned one is refused.
//   - A record that gives the name up, if it wins, is as good as none.
func Choose(now time.Time, name Name, pin Pin, answers []Answer) (Record, error) {
	judged := make([]Answer, len(answers))
	best := map[address.Key]Record{}
	var refused error
	silent := 0
	for n, a := range answers {
		if a.found() {
			switch err := a.Record.Fresh(now); {
			case a.Record.Name != name:
				a.Err = fmt.Errorf("it gave the record of %s", a.Record.Name)
			case err != nil:
				a.Err = err
			case a.Record.Key == pin.Key && a.Record.Sequence < pin.Sequence:
				a.Err = fmt.Errorf("%w (sequence %d, known is %d)", ErrStale, a.Record.Sequence, pin.Sequence)
			default:
				was, there := best[a.Record.Key]
				if !there || a.Record.Newer(was) || a.Record.Sequence == was.Sequence && a.Record.Issued.After(was.Issued) {
					best[a.Record.Key] = a.Record
				}
			}
		}
		if a.Err != nil {
			silent++
			refused = worse(refused, a.Err)
		}
		judged[n] = a
	}
	_, givenUp := best[pin.Key]
	for key, r := range best {
		if r.Released() && key != pin.Key {
			delete(best, key) // whoever has it now, it is not this one
		}
	}
	fail := func(cause error) (Record, error) {
		return Record{}, &LookupError{Name: name, Cause: cause, Answers: judged, Silent: silent == len(answers) || name.SelfCertifying() && !givenUp}
	}
	if r, ok := best[pin.Key]; ok && !r.Released() {
		return r, nil
	}
	delete(best, pin.Key) // given up
	var only Record
	for _, r := range best {
		only = r
	}
	switch {
	case len(best) > 0 && !pin.Key.IsZero():
		return Record{}, &KeyChangedError{Name: name, Known: pin.Key, Now: only.Key}
	case len(best) > 1:
		return fail(ErrDisagree)
	case len(best) == 1:
		return only, nil
	case refused != nil:
		return fail(refused)
	case len(answers) == 0 || silent == len(answers):
		return fail(ErrUnreachable)
	}
	return fail(ErrNotFound)
}

// worse gives the sentinel of the record's own faults, which tell more than
// that a place did not answer.
func worse(was, err error) error {
	for _, fault := range []error{ErrForged, ErrOwner, ErrMalformed, ErrStale, ErrFuture, ErrExpired, ErrClock} {
		if errors.Is(was, fault) {
			return was
		}
		if errors.Is(err, fault) {
			return fault
		}
	}
	return was
}
