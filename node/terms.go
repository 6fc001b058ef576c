package node

import (
	"context"
	"errors"

	"github.com/sallyport-net/sallyport/signaling"
)

// terms are what the two sides have to meet by at relays.
type terms struct {
	ours, lent   bool // we have a relay; what opens it was lent to the peer
	theirs, loan bool // the peer has one; what opens it was lent to us
}

// answered notes what the peer has answered.
func (t *terms) answered(r *signaling.Relay) {
	if r != nil {
		t.theirs, t.loan = true, r.Loan != nil
	}
}

// remedy is the change that lets two meet of whom one gets to no endpoint on the
// other's relay; "" where they had what it takes.
func (t terms) remedy() string {
	switch {
	case t.lent || t.loan:
		return ""
	case t.ours && t.theirs:
		return "name the same relay on both sides with --turn, or one by its secret, turn:SECRET@HOST:PORT, here"
	case t.ours:
		return "name the relay by its secret, turn:SECRET@HOST:PORT, with --turn here, so that it can be lent, or name it there too"
	case t.theirs:
		return "name the peer's relay with --turn here too, or name this node with --allow there, where it is by its secret, so that it can be lent"
	}
	return ""
}

// explain puts the remedy beside what was met.
func (t terms) explain(err error) error {
	hint := t.remedy()
	if hint == "" || errors.Is(err, signaling.ErrNoBroker) || errors.Is(err, context.Canceled) || unheard(err) {
		return err
	}
	return &apart{err, hint}
}

// apart is a peer that was not met at a relay though both were heard.
type apart struct {
	error
	hint string
}

func (e *apart) Unwrap() error { return e.error }

// Hint is the remedy.
func (e *apart) Hint() string { return e.hint }
