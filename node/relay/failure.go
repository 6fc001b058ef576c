package relay

import (
	"context"
	"errors"
	"fmt"

	"github.com/pion/stun/v4"
)

// Error is a relay that did not do what was asked.
type Error struct {
	Place Place
	Doing string // "reaching it", "allocating", "permitting 192.0.2.1"
	Err   error
}

func (e *Error) Error() string {
	what, _ := e.explain()
	return fmt.Sprintf("%v: %s: %s", e.Place, e.Doing, what)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint is the one change that would help.
func (e *Error) Hint() string {
	_, hint := e.explain()
	return hint
}

func (e *Error) explain() (what, hint string) {
	var t *stun.TurnError
	if !errors.As(e.Err, &t) {
		if errors.Is(e.Err, context.DeadlineExceeded) {
			return "no answer", "check that the relay runs there, and that TCP to it is let out"
		}
		if errors.Is(e.Err, errLostAttempt) || errors.Is(e.Err, errNotConnected) {
			return e.Err.Error(), ""
		}
		return e.Err.Error(), "check the host and the port in --turn"
	}
	switch code := t.ErrorCodeAttr.Code; code {
	case stun.CodeUnauthorized, stun.CodeBadRequest: // pion/turn says the latter
		return fmt.Sprintf("the relay refused the credentials (%d)", code), "check the secret, or the user and the password, in --turn, and this machine's clock"
	case stun.CodeForbidden:
		return fmt.Sprintf("the relay does not relay there (%d)", code), "run the relay with --turn-allow-private where it is to serve its own network"
	case stun.CodeAllocQuotaReached:
		return fmt.Sprintf("the quota there is used up (%d)", code), "end other relayed connections, or name another relay with --turn"
	case stun.CodeInsufficientCapacity:
		return fmt.Sprintf("the relay has no room (%d)", code), "name another relay with --turn"
	case stun.CodeUnsupportedTransProto:
		return fmt.Sprintf("the relay has no TCP allocations (%d)", code), "name a relay that has them (RFC 6062) with --turn"
	default:
		return fmt.Sprintf("the relay said %d %s", code, t.ErrorCodeAttr.Reason), ""
	}
}
