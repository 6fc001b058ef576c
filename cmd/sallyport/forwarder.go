package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// maxForwarded is how many connections are forwarded at once: a peer takes 256
// streams, and some of them are for the session and for remote ports.
const maxForwarded = 190

// forwarder forwards to and from one peer: in a process of its own, or in the
// node in the background.
type forwarder struct {
	tell    func(api.ForwardEvent)
	explain func(*node.Node, error) error

	line    *line
	running sync.WaitGroup
	places  chan struct{} // one for each connection under way
	numbers counter
}

func newForwarder(tell func(api.ForwardEvent), explain func(*node.Node, error) error) *forwarder {
	return &forwarder{tell: tell, explain: explain, places: make(chan struct{}, maxForwarded)}
}

// reached is a peer to forward to: by which node, and the first stream to it, an
// echo.
type reached struct {
	node    *node.Node
	peer    address.Address
	conn    *node.Conn
	release func() // when the forwarder has ended
}

// run listens, has reach call the peer, and forwards until ctx ends.
func (f *forwarder) run(ctx context.Context, specs []forwardSpec, reach func(context.Context) (reached, error)) error {
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
		if specs[n].kind == remoteForward {
			continue
		}
		l, err := listenHere(ctx, specs[n].bind)
		if err != nil {
			return err
		}
		listeners[n] = l
		specs[n].bind.Port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	r, err := reach(ctx)
	if err != nil {
		return err
	}
	defer func() { f.running.Wait(); r.release() }()
	defer end(nil)
	if err := verdict(r.conn); err != nil {
		cut(r.conn)
		return explainCut(err)
	}
	e := connectedOf(r.conn)
	f.tell(api.ForwardEvent{Event: "connected", Peer: e.Peer, Via: e.Via, By: e.By, Remote: e.Remote, MS: e.MS})
	f.line = newLine(r, f.tell, f.explain)
	f.running.Go(func() { f.line.keep(ctx, r.conn) })
	for n, s := range specs {
		if s.kind == remoteForward {
			err = f.beginRemote(ctx, s)
		} else {
			f.beginLocal(ctx, s, listeners[n])
		}
		if err != nil {
			return err
		}
	}
	<-ctx.Done()
	return daemonEnd(ctx)
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
	return nil, failed(err, "try another port, or 127.0.0.1", "%v can't be listened on: %s", at, reasonOf(err))
}

// announce tells of a forward that is ready.
func (f *forwarder) announce(s forwardSpec) {
	e := api.ForwardEvent{Event: "listening", Kind: string(s.kind), Bind: s.bind.String()}
	if (s.to != tunnel.Place{}) {
		e.To = s.to.String()
	}
	f.tell(e)
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
func (f *forwarder) carry(ctx context.Context, s forwardSpec, from string, conn *net.TCPConn, serve func(*passage) traffic) {
	stop := context.AfterFunc(ctx, func() { abort(conn) })
	defer stop()
	p := &passage{number: f.numbers.next(), kind: s.kind, from: from, to: s.to, begun: time.Now()}
	f.tellOpened(p)
	p.traffic = serve(p)
	f.tellClosed(ctx, p)
}

// tellFull tells of a connection for which there was no place.
func (f *forwarder) tellFull(from string) {
	f.tell(api.ForwardEvent{Event: "reset", From: from, Error: fmt.Sprintf("%d are forwarded already", maxForwarded)})
}
