package mqtt

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/address"
)

var (
	// ErrClosed is what everything returns after Close.
	ErrClosed = errors.New("signalling channel is closed")
	// ErrNotOpen is what Publish meets at a broker without an open connection.
	ErrNotOpen = errors.New("no open connection")
	// ErrTooLarge is for a payload above Config.MaxPayload.
	ErrTooLarge = errors.New("payload too large")

	errBusy    = errors.New("too many publishes at once")
	errPending = errors.New("still connecting")
)

// BrokersError is a failure at several brokers. It says what each one met.
type BrokersError struct {
	Op      string        // "open" or "publish"
	Brokers []BrokerError // in the order in which they were asked
	Cause   error         // why it was given up, if not for the brokers: the context's
}

// BrokerError is what one broker met.
type BrokerError struct {
	Broker    address.Broker
	Endpoints []EndpointError // one per URL tried, if it came to that
	Err       error           // otherwise
}

// EndpointError is what one URL of a broker met.
type EndpointError struct {
	URL string // without credentials
	Err error
}

func (e *BrokersError) Error() string {
	var b strings.Builder
	switch {
	case e.Op == "publish":
		b.WriteString("no broker took the message")
	default:
		b.WriteString("no broker is open")
	}
	sep := ": "
	for _, x := range e.Brokers {
		b.WriteString(sep + x.Error())
		sep = "; "
	}
	if e.Cause != nil {
		b.WriteString(sep + e.Cause.Error())
	}
	return b.String()
}

// Unwrap gives what each broker met, and the cause.
func (e *BrokersError) Unwrap() []error {
	var errs []error
	for _, x := range e.Brokers {
		errs = append(errs, x)
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}

func (e BrokerError) Error() string {
	if len(e.Endpoints) == 0 {
		return fmt.Sprintf("%s: %v", brokerName(e.Broker), e.Err)
	}
	var parts []string
	for _, x := range e.Endpoints {
		parts = append(parts, x.Error())
	}
	return strings.Join(parts, ", ")
}

// Unwrap gives what each endpoint met.
func (e BrokerError) Unwrap() []error {
	var errs []error
	for _, x := range e.Endpoints {
		errs = append(errs, x)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

func (e EndpointError) Error() string { return e.URL + ": " + clause(e.Err) }
func (e EndpointError) Unwrap() error { return e.Err }

// clause says in a few words what a dial has met, where the system's own have
// the addresses and calls in front.
func clause(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var errno syscall.Errno
	switch {
	case !errors.As(err, &op):
	case errors.As(err, &dns):
		return "no address is known for " + dns.Name
	case op.Timeout():
		return "no answer"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// brokerName names a broker in messages: never with its credentials.
func brokerName(b address.Broker) string {
	if b.URL == "" {
		return fmt.Sprintf("broker %d", b.Index)
	}
	e, err := parseEndpoint(b.URL)
	if err != nil {
		return "broker with a bad URL"
	}
	return e.String()
}
