package node

import (
	"errors"
	"fmt"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// BirthdayError is a punch that takes many ports at once, since a NAT gives out
// random ones, to a peer that does that for others only.
type BirthdayError struct{ Peer address.Key }

func (e *BirthdayError) Error() string {
	return fmt.Sprintf("random ports must be guessed, and %s does that for listed peers only", e.Peer.Short())
}

// Unwrap says that it was the peer's word, which another round would not change.
func (e *BirthdayError) Unwrap() error { return signaling.ErrRefused }

// Hint is the one change that would help.
func (e *BirthdayError) Hint() string {
	return "name this node with --allow where the peer runs, or have a relay carry it with --turn or --relay"
}

// withheld reports whether a peer has refused to take part in a birthday:
// versions before this one call that their policy.
func withheld(err error) bool {
	var no *signaling.RefusedError
	return errors.As(err, &no) && (no.Reason == signaling.RefusedImpossible || no.Reason == signaling.RefusedPolicy)
}
