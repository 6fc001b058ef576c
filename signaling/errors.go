package signaling

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

var (
	// ErrNoAnswer is in every error of a message that nobody answered in time.
	ErrNoAnswer = errors.New("no answer")
	// ErrNoBroker is in every error of a message that no broker could take.
	ErrNoBroker = errors.New("no signalling broker reached")
	// ErrRefused is in every error of a message that the peer refused.
	ErrRefused = errors.New("refused by the peer")
	// ErrClosed is what a closed Exchange gives.
	ErrClosed = fmt.Errorf("signalling: %w", net.ErrClosed)
)

// NoAnswerError tells how a message was left without an answer. It unwraps to
// ErrNoAnswer, to what ended the waiting, and to the last failure to publish.
type NoAnswerError struct {
	To     address.Key
	Copies int           // that were published, retransmissions included
	Acked  bool          // it arrived, but nothing more came back
	Waited time.Duration // from the first copy on
	Cause  error         // of the end of waiting; context.DeadlineExceeded where the ttl was over
	Last   error         // why the last copy could not be published; usually nil
}

// Error tells what was waited for.
func (e *NoAnswerError) Error() string {
	waited := e.Waited.Round(10 * time.Millisecond)
	switch {
	case e.Acked:
		return fmt.Sprintf("%s acknowledged the message, but sent no answer within %v", e.To.Short(), waited)
	case e.Last != nil:
		return fmt.Sprintf("no answer from %s within %v: %v", e.To.Short(), waited, e.Last)
	}
	return fmt.Sprintf("no answer from %s within %v to %d copies", e.To.Short(), waited, e.Copies)
}

// Unwrap gives the sentinel and the causes.
func (e *NoAnswerError) Unwrap() []error { return nonNil(ErrNoAnswer, e.Cause, e.Last) }

// Hint says what could help.
func (e *NoAnswerError) Hint() string {
	switch {
	case e.Acked:
		return "the peer is there; try again"
	case e.Copies == 0:
		return "check the network, or name another broker"
	}
	return "check that the peer runs, that it admits this node, and that the two have a broker in common"
}

// NoBrokerError tells why no broker could be reached. It unwraps to
// ErrNoBroker and to the causes.
type NoBrokerError struct {
	To    address.Key
	Cause error // what each broker met; nil where there was none to try
}

// Error tells what was tried.
func (e *NoBrokerError) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("no broker is known on which %s listens", e.To.Short())
	}
	return fmt.Sprintf("no broker reached on which %s listens: %v", e.To.Short(), e.Cause)
}

// Unwrap gives the sentinel and the cause.
func (e *NoBrokerError) Unwrap() []error { return nonNil(ErrNoBroker, e.Cause) }

// Hint says what could help.
func (e *NoBrokerError) Hint() string { return "check the network, or name another broker" }

// RefusedError is the peer's no. It unwraps to ErrRefused.
type RefusedError struct {
	By     address.Key
	Reason Reason
	Detail string        // the peer's words, printable, at most 200 bytes; often empty
	Offset time.Duration // how far the peer's clock is ahead of ours
}

// Error gives the reason in words.
func (e *RefusedError) Error() string {
	s := fmt.Sprintf("%s refused: %s", e.By.Short(), e.Reason)
	if e.Detail != "" {
		s += fmt.Sprintf(" (%q)", e.Detail)
	}
	return s
}

// Unwrap gives the sentinel.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// Hint says what could help.
func (e *RefusedError) Hint() string {
	switch e.Reason {
	case RefusedPolicy:
		return "ask the peer to admit this node"
	case RefusedClock:
		if by := e.Offset.Abs().Round(time.Second); by > MaxClockError {
			return fmt.Sprintf("set the clocks: the two are %v apart", by)
		}
		return "wait a moment and try again"
	case RefusedBusy:
		return "wait a moment and try again"
	case RefusedImpossible:
		return "open a port on one of the two sides, or name a relay"
	case RefusedUnreached:
		return "check the network there, and that what the peer names with --turn or --relay runs"
	case RefusedUnsupported:
		return "use the same version on both sides"
	}
	return ""
}

func nonNil(errs ...error) []error {
	kept := errs[:0]
	for _, err := range errs {
		if err != nil {
			kept = append(kept, err)
		}
	}
	return kept
}
