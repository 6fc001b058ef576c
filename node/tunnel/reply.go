package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// Status is the answer to a request.
type Status byte

const (
	Done        Status = 0
	NotAllowed  Status = 1 // by the peer's rules
	Refused     Status = 2 // nobody listens there
	Unreachable Status = 3 // no way leads there
	TimedOut    Status = 4 // nobody answered
	NotFound    Status = 5 // there is no such host
	Busy        Status = 6 // the peer has as many as it takes
	Taken       Status = 7 // the port to listen on is another's
	Gone        Status = 8 // the connection that knocked is no more
	Failed      Status = 9 // anything else
)

// String says it to people, as the end of "PLACE: …".
func (s Status) String() string {
	switch s {
	case Done:
		return "done"
	case NotAllowed:
		return "not allowed by the peer"
	case Refused:
		return "connection refused"
	case Unreachable:
		return "unreachable from the peer"
	case TimedOut:
		return "no answer"
	case NotFound:
		return "the peer knows no host of that name"
	case Busy:
		return "the peer takes no more at present"
	case Taken:
		return "the port is taken at the peer"
	case Gone:
		return "the connection is no more"
	}
	return "the peer has failed to connect"
}

// StatusOf says which status the outcome of a dial or of listening is.
func StatusOf(err error) Status {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case err == nil:
		return Done
	case errors.Is(err, ErrNotAllowed), errno.Is(err, syscall.EACCES), errno.Is(err, syscall.EPERM):
		return NotAllowed
	case errno.Is(err, syscall.ECONNREFUSED), errno.Is(err, syscall.ECONNRESET):
		return Refused
	case errno.Is(err, syscall.EHOSTUNREACH), errno.Is(err, syscall.ENETUNREACH), errno.Is(err, syscall.EADDRNOTAVAIL):
		return Unreachable
	case errno.Is(err, syscall.EADDRINUSE):
		return Taken
	case errors.As(err, &dns) && !dns.IsTimeout:
		return NotFound
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	}
	return Failed
}

// Reply answers a request.
type Reply struct {
	Status Status
	Place  Place // where the peer listens now
}

// Bytes is the reply as it is sent.
func (r Reply) Bytes() []byte {
	return r.Place.append(append([]byte(answers), version, byte(r.Status)))
}

// ReadReply reads one, and not a byte more. The caller limits the time. Statuses
// of newer versions count as Failed.
func ReadReply(r io.Reader) (Reply, error) {
	status, err := readHead(r, answers)
	if err != nil {
		return Reply{}, err
	}
	a := Reply{Status: min(Status(status), Failed)}
	if a.Place, err = readPlace(r); err != nil {
		return Reply{}, err
	}
	return a, nil
}

// RefusedError is a reply that is a no.
type RefusedError struct {
	Kind   Kind
	Place  Place
	Status Status
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%v: %v", e.Place, e.Status) }

// Hint is the one change that would help.
func (e *RefusedError) Hint() string {
	switch {
	case e.Status == NotAllowed && e.Kind == Listen && e.Place.Port == 0:
		return fmt.Sprintf("ask the peer to start its node with --allow-listen %s", net.JoinHostPort(e.Place.Host, "*"))
	case e.Status == NotAllowed && e.Kind == Listen && e.Place.Port < 1024:
		return "try a port above 1023 there, or --allow-listen with this one at the peer"
	case e.Status == NotAllowed && e.Kind == Listen:
		return fmt.Sprintf("ask the peer to start its node with --allow-listen %v", e.Place)
	case e.Status == NotAllowed:
		return fmt.Sprintf("ask the peer to start its node with --allow-forward %v", e.Place)
	case e.Status == Refused:
		return "check that the service runs there"
	case e.Status == Taken:
		return "try another port there"
	case e.Status == Busy:
		return "try again in a moment"
	}
	return ""
}
