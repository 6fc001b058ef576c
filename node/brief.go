package node

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// brief is the one cause of an error, in a clause for people. Where several
// things were tried it has the most telling one, or the first.
func brief(err error) string {
	var call *ConnectError
	var brokers *mqtt.BrokersError
	var op *net.OpError
	var by *RelayNodeError
	if errors.As(err, &by) && errors.As(by.Err, &call) { // which it does not unwrap to: the call was another one
		return fmt.Sprintf("by node %s: no connection to it", by.Node.Short())
	}
	if errors.As(err, &call) && len(call.Attempts) > 0 {
		why := "no connection to " + call.Peer.Short()
		if call == err {
			a := call.telling()
			return fmt.Sprintf("%s: %s: %s", why, a.Strategy, brief(a.Err))
		}
		return strings.Replace(err.Error(), call.Error(), why, 1)
	}
	text := err.Error()
	first, rest, several := strings.Cut(text, "\n")
	if several {
		return fmt.Sprintf("%s, and %d more", first, 1+strings.Count(rest, "\n"))
	}
	switch {
	case errors.As(err, &brokers):
		text = strings.Replace(text, brokers.Error(), (&mqtt.BrokersError{Op: brokers.Op}).Error(), 1)
	case errors.As(err, &op):
		text = strings.Replace(text, op.Error(), systemSays(op), 1)
	}
	return text
}

// systemSays is what the system says of a connection, without the call and the
// addresses.
func systemSays(op *net.OpError) string {
	var errno syscall.Errno
	switch {
	case op.Timeout():
		return "no answer"
	case errors.As(op.Err, &errno):
		return errno.Error()
	}
	return op.Err.Error()
}

// telling is the attempt that says most about why nothing came about: the way
// that would have led through most networks, of those that were tried.
func (e *ConnectError) telling() Failure {
	for _, s := range []Strategy{Punch, Direct, Reverse, Relay, LAN} {
		k := slices.IndexFunc(e.Attempts, func(f Failure) bool {
			var moot notTried
			return f.Strategy == s && !errors.As(f.Err, &moot)
		})
		if k >= 0 {
			return e.Attempts[k]
		}
	}
	return e.Attempts[0]
}

// Chain is all that Err says, where What is but a part of it; "" otherwise.
func (e Event) Chain() string {
	if e.Err == nil || strings.HasSuffix(e.What, e.Err.Error()) {
		return ""
	}
	return e.Err.Error()
}
