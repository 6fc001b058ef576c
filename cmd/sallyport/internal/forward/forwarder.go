// Package forward makes TCP services of one machine appear at another, over a session
// between two nodes: Run is the side that asks, for ports here, ports at the peer and
// SOCKS proxies, and a Server the one that is asked. What they say to each other is
// package tunnel's.
//
// The side that asks keeps one session, calls the peer again when that is lost, and has
// the peer listen again then. Connections do not outlive their session: they are reset,
// so that neither end takes what is incomplete for all.
package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// maxForwarded is how many connections are forwarded at once: a peer takes 256
// streams, and some of them are for the session and for remote ports.
const maxForwarded = 190

// Config is what a forwarder needs of its surroundings.
type Config struct {
	// Tell is called with everything that happens, from several goroutines.
	Tell func(api.ForwardEvent)
	// Explain puts into words why a peer could not be reached, or asked.
	Explain func(*node.Node, error) error
	// Watch, if not nil, tells of the changes of a session's path. It is called with a
	// stream of each session, and returns when ctx or that session ends.
	Watch func(ctx context.Context, c *node.Conn)
}

// Reached is a peer to forward to: by which node, and the first stream to it, an
// echo to which the peer has said yes.
type Reached struct {
	Node    *node.Node
	Peer    address.Address
	Conn    *node.Conn
	Release func() // called when nothing is forwarded any more
}

// Error says why something can't be forwarded.
type Error struct {
	what    string
	hint    string
	refused bool
	cause   error
}

func (e *Error) Error() string { return e.what }

// Hint is one thing to try; it may be empty.
func (e *Error) Hint() string { return e.hint }

// Refused reports whether the peer does not allow it.
func (e *Error) Refused() bool { return e.refused }

func (e *Error) Unwrap() error { return e.cause }

func failed(cause error, hint, format string, args ...any) error {
	return &Error{what: fmt.Sprintf(format, args...), hint: hint, cause: cause}
}

// forwarder forwards to and from one peer.
type forwarder struct {
	Config
	line    *line
	running sync.WaitGroup
	places  chan struct{} // one for each connection under way
	numbers counter
}

func newForwarder(cfg Config) *forwarder {
	return &forwarder{Config: cfg, places: make(chan struct{}, maxForwarded)}
}

// Run listens, has reach call the peer, and forwards until ctx ends: that is no
// error. When it returns, nothing is forwarded any more, and what was told is all.
// Other errors than an *Error are those of reach and of Config.Explain.
func Run(ctx context.Context, cfg Config, specs []Spec, reach func(context.Context) (Reached, error)) error {
	return newForwarder(cfg).run(ctx, slices.Clone(specs), reach)
}

func (f *forwarder) run(ctx context.Context, specs []Spec, reach func(context.Context) (Reached, error)) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// A port that is taken is told before anybody is called.
	listeners := make([]*net.TCPListener, len(specs))
	defer func() {
		for _, l := range listeners {
			if l != nil {
				_ = l.Close()
			}
		}
	}()
	for n := range specs {
		if specs[n].Kind == Remote {
			continue
		}
		l, err := listenHere(ctx, specs[n].Bind)
		if err != nil {
			return err
		}
		listeners[n] = l
		specs[n].Bind.Port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	r, err := reach(ctx)
	if err != nil {
		return err
	}
	defer func() { f.running.Wait(); r.Release() }()
	defer end(nil)
	c := r.Conn
	f.Tell(api.ForwardEvent{Event: "connected", Peer: c.Peer().String(), Via: string(c.Via()), By: c.By().String(), Remote: c.RemoteAddr().String(), MS: milliseconds(c.Took())})
	f.line = newLine(r, f.Config)
	f.running.Go(func() { f.line.keep(ctx, c) })
	for n, s := range specs {
		if s.Kind == Remote {
			err = f.beginRemote(ctx, s)
		} else {
			f.beginLocal(ctx, s, listeners[n])
		}
		if err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func listenHere(ctx context.Context, at tunnel.Place) (*net.TCPListener, error) {
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", at.String())
	switch {
	case err == nil:
		return l.(*net.TCPListener), nil
	case errno.Is(err, syscall.EADDRINUSE):
		return nil, failed(err, "try another port, or 0 for any", "%v is taken", at)
	case errno.Is(err, syscall.EACCES):
		return nil, failed(err, "try a port above 1023", "%v may not be used by this user", at)
	case errno.Is(err, syscall.EADDRNOTAVAIL):
		return nil, failed(err, "try 127.0.0.1, or * for every address", "%v is no address of this machine", at.Host)
	}
	reason := err
	if number := syscall.Errno(0); errors.As(err, &number) {
		reason = number // without the names of the system's calls
	}
	return nil, failed(err, "try another port, or 127.0.0.1", "%v can't be listened on: %v", at, reason)
}

// announce tells of a forward that is ready.
func (f *forwarder) announce(s Spec) {
	e := api.ForwardEvent{Event: "listening", Kind: string(s.Kind), Bind: s.Bind.String()}
	if (s.To != tunnel.Place{}) {
		e.To = s.To.String()
	}
	f.Tell(e)
}

// counter numbers the connections, for those who read events.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// enter takes a place for a connection, if there is one left.
func (f *forwarder) enter() bool {
	select {
	case f.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (f *forwarder) leave() { <-f.places }

// carry serves one connection and tells of both ends. The connection is closed
// under it when ctx ends.
func (f *forwarder) carry(ctx context.Context, s Spec, from string, conn *net.TCPConn, serve func(*passage) pipe.Traffic) {
	stop := context.AfterFunc(ctx, func() { pipe.Abort(conn) })
	defer stop()
	p := &passage{number: f.numbers.next(), kind: s.Kind, from: from, to: s.To, begun: time.Now()}
	f.tellOpened(p)
	p.Traffic = serve(p)
	f.tellClosed(ctx, p)
}

// tellFull tells of a connection for which there was no place.
func (f *forwarder) tellFull(from string) {
	f.Tell(api.ForwardEvent{Event: "reset", From: from, Error: fmt.Sprintf("%d are forwarded already", maxForwarded)})
}

// milliseconds is a time as events have it.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
