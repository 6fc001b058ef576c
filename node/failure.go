package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node/lan"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// Failure is what one strategy met.
type Failure struct {
	Strategy Strategy
	Err      error
}

// ConnectError is a Connect that failed: it holds what every strategy met, and
// one change that would help.
type ConnectError struct {
	Peer     address.Key
	Attempts []Failure
	Cause    error   // of the end of the context, where that ended it
	Timeline []Event // what happened on the way, oldest first
}

// Error names every attempt in one line.
func (e *ConnectError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no connection to %s", e.Peer.Short())
	for n, a := range e.Attempts {
		sep := "; "
		if n == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s: %v", sep, a.Strategy, a.Err)
	}
	if len(e.Attempts) == 0 && e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap gives every attempt's error, and the cause.
func (e *ConnectError) Unwrap() []error {
	var all []error
	for _, a := range e.Attempts {
		all = append(all, a.Err)
	}
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	return all
}

// Timeout reports whether the time was over, or the peer gave no answer in the
// time that it had: what a net.Error calls a timeout.
func (e *ConnectError) Timeout() bool {
	return errors.Is(e, context.DeadlineExceeded) || errors.Is(e, ErrAbsent)
}

// Hint is the one change that is likeliest to help.
func (e *ConnectError) Hint() string {
	var hints []string
	for _, a := range e.Attempts {
		var h interface{ Hint() string }
		if errors.As(a.Err, &h) && h.Hint() != "" {
			hints = append(hints, h.Hint())
		}
	}
	if len(hints) > 0 {
		return hints[len(hints)-1] // the last strategy is the most telling one
	}
	var brokers *mqtt.BrokersError
	switch {
	case errors.Is(e, signaling.ErrNoBroker), errors.As(e, &brokers):
		if h := e.LANHint(); h != "" {
			return "check the network, or name a broker that both sides reach with --broker; " + h
		}
		return "check the network, or name a broker that both sides reach with --broker"
	case errors.Is(e, signaling.ErrNoAnswer):
		return "check that the peer runs and admits this node"
	}
	return "forward a TCP port on either router and name it with --port there, or have a relay carry it with --turn or --relay"
}

// LANHint says what a peer on this LAN needs to be found there; "" where it was
// found, or was not looked for.
func (e *ConnectError) LANHint() string {
	switch {
	case errors.Is(e, errLANOff):
		return "a peer on this LAN is found without --no-lan"
	case errors.Is(e, lan.ErrSilent):
		return "a peer on this LAN is found if it runs without --no-lan, admits this node, and the network lets multicast through"
	}
	return ""
}

// ErrAbsent is in the error of a Connect to a peer that never answered a
// signal.
var ErrAbsent = signaling.ErrNoAnswer

// notTried is a strategy that had no chance here.
type notTried string

func (e notTried) Error() string { return "not tried: " + string(e) }

// ErrForeign refuses an address whose node id is not a key.
type ErrForeign struct{ ID string }

func (e *ErrForeign) Error() string {
	return fmt.Sprintf("node id %q is not a key, so nobody can prove to be that node", e.ID)
}

// Hint says what to do instead.
func (e *ErrForeign) Hint() string { return "ask the peer for its Sallyport address" }

// dialError says in one short clause what a dial met.
func dialError(to netip.AddrPort, err error) error {
	if err == nil {
		return nil
	}
	return &DialError{to, err}
}

// DialError is a dial that led nowhere.
type DialError struct {
	To  netip.AddrPort
	Err error
}

func (e *DialError) Error() string {
	what := e.Err.Error()
	var n net.Error
	switch {
	case errno.Is(e.Err, syscall.ECONNREFUSED):
		what = "refused"
	case errno.Is(e.Err, syscall.EHOSTUNREACH), errno.Is(e.Err, syscall.ENETUNREACH):
		what = "unreachable"
	case errno.Is(e.Err, syscall.EACCES): // what IPv6 makes of an ICMP prohibition
		what = "prohibited"
	case errors.Is(e.Err, context.Canceled):
		what = "interrupted"
	case errors.As(e.Err, &n) && n.Timeout():
		what = "no answer"
	}
	return fmt.Sprintf("%v: %s", e.To, what)
}

// Unwrap gives what the system said.
func (e *DialError) Unwrap() error { return e.Err }
