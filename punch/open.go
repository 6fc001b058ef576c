package punch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-reuseport"
)

// Pace of one four-tuple, from docs/punching.md.
const (
	// retryGap is the shortest time between the starts of two connects on one
	// four-tuple. A LAN's RST is back within microseconds; a gap of 5 ms or
	// more between them misses NATs that answer RST.
	retryGap = 2 * time.Millisecond
	// heldGap is the pause after EADDRNOTAVAIL: the four-tuple is held, or
	// the listener has already taken the connection.
	heldGap = 20 * time.Millisecond
	// reprime is how often a primer renews its SYN, which must be before the
	// kernel's own retransmission after 1 s goes out with full TTL.
	reprime = 800 * time.Millisecond
	// acceptedCost is what a host costs that accepts: the handshake's ACK, and
	// the RST that ends the connection. It is set aside with every SYN.
	acceptedCost = 2
	// unprovenCost is what a connection may send besides before it is proven:
	// a token and its repetition, and an ACK.
	unprovenCost = 3
	// maxSYNs is how many SYNs one connect may send. It is given up before the
	// kernel would send the next.
	maxSYNs = 4
)

// Connection is a TCP connection that Open found. It is not proven: success is
// a token or a handshake verified over it.
type Connection struct {
	net.Conn
	Accepted bool // by the listener; otherwise we dialled
}

// Prove takes a fresh connection over and returns when it is proven to lead to
// the right peer (nil), or not, in which case it has closed it. ctx ends with
// the punch.
type Prove func(ctx context.Context, c Connection) error

// FailedError says what one punch met.
type FailedError struct {
	Plan    Plan
	Refused int   // connects that an RST or an ICMP error ended
	Silent  int   // connects that nothing answered
	Last    error // the last error of any kind
}

func (e *FailedError) Error() string {
	what := "nothing answered"
	if e.Refused > 0 {
		what = fmt.Sprintf("refused %d times", e.Refused)
	}
	if e.Last != nil && e.Refused == 0 && e.Silent == 0 {
		what = e.Last.Error()
	}
	return fmt.Sprintf("%s: %s", e.Plan, what)
}

// Unwrap gives the last error met.
func (e *FailedError) Unwrap() error { return e.Last }

// errSpent ends a four-tuple whose packets are used up.
var errSpent = errors.New("the punch has used up its packets")

// Open carries plan out until ctx ends or nothing more can be done: it listens,
// keeps one pending connect on each four-tuple, tries again at once on a
// refusal, and hands every connection to prove, each on a goroutine of its own,
// for which it waits. It returns nil where at least one was proven, and
// otherwise a *FailedError. It does not stop at the first proven connection:
// which one counts is decided by whoever ends ctx.
func Open(ctx context.Context, plan Plan, prove Prove) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	if plan.Packets == 0 {
		plan.Packets = MaxPackets
		if plan.Birthday != nil {
			plan.Packets = MaxBirthdayPackets
		}
	}
	o := &opening{plan: plan, prove: prove, left: plan.Packets, failed: FailedError{Plan: plan}}
	for _, at := range plan.Listen {
		l, err := listen(ctx, at, plan.Device)
		if err != nil {
			return fmt.Errorf("listening on %v: %w", at, err)
		}
		o.all.Go(func() { o.accept(ctx, l) })
		stop := context.AfterFunc(ctx, func() { _ = l.Close() })
		defer func() {
			stop()
			_ = l.Close()
		}()
	}
	o.all.Go(func() {
		if plan.Begun != nil {
			defer plan.Begun()
		}
		if !sleep(ctx, o.plan.Wait) {
			return
		}
		if plan.Birthday != nil {
			o.birthday(ctx)
			return
		}
		for _, t := range plan.Tuples {
			first := o.begin(t, plan.TTL)
			o.all.Go(func() { o.work(ctx, t, first) })
		}
	})
	o.all.Wait()
	if o.proven {
		return nil
	}
	return &o.failed
}

func listen(ctx context.Context, local netip.AddrPort, device string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		if device != "" {
			if err := bindTo(device, c); err != nil {
				return err
			}
		}
		return reuseport.Control(network, address, c)
	}}
	lc.SetMultipathTCP(false)
	return lc.Listen(ctx, "tcp", local.String())
}

// opening is the state of one Open.
type opening struct {
	plan  Plan
	prove Prove
	all   sync.WaitGroup

	mu     sync.Mutex
	left   int // packets
	proven bool
	failed FailedError
}

// spend takes n packets to remote from what is allowed, and sets aside others
// on top; it reports whether all were left.
func (o *opening) spend(remote netip.AddrPort, n, aside int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n+aside > o.left || o.plan.Allow != nil && !o.plan.Allow(remote, n) {
		return false
	}
	o.left -= n + aside
	return true
}

// putBack gives back what was set aside.
func (o *opening) putBack(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left += n
}

// reserve takes packets for a connection that the other end accepted.
func (o *opening) reserve(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n > o.left {
		return false
	}
	o.left -= n
	return true
}

func (o *opening) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			_ = l.Close()
			return
		}
		o.all.Go(func() { o.try(ctx, Connection{c, true}) })
	}
}

// try proves one connection, and reports whether it was the right one.
func (o *opening) try(ctx context.Context, c Connection) bool {
	err := o.prove(ctx, c)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.failed.Last = err
		return false
	}
	o.proven = true
	return true
}

// discard closes a connection with an RST, so that nothing of it lingers.
func discard(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// note keeps what ended a connect, for the error.
func (o *opening) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case refused(err):
		o.failed.Refused++
	default:
		o.failed.Silent++
	}
	o.failed.Last = err
}
