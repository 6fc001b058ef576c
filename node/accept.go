package node

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// sniffTimeout is how long an accepted connection may stay silent.
	sniffTimeout = 5 * time.Second
	// nominationTimeout is how long a proven link waits to be chosen.
	nominationTimeout = 5 * time.Second
	// pingIdle ends an echo that nobody uses.
	pingIdle = 2 * time.Minute
)

// serve accepts on the warm port until the listener closes.
func (n *Node) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if n.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			n.log.Warn("accept failed", "error", err)
			if !pause(n.ctx, 100*time.Millisecond) { // out of descriptors, mostly
				return
			}
			continue
		}
		n.welcome(conn)
	}
}

// welcome takes over an accepted connection, of which nothing is known yet.
func (n *Node) welcome(conn net.Conn) {
	leave, ok := n.hall.enter(conn.RemoteAddr())
	if !ok {
		reset(conn)
		_ = conn.Close()
		return
	}
	n.all.Go(func() {
		defer leave()
		n.receive(conn)
	})
}

// receive finds out by the first bytes which role is ours: a token makes us
// the client of our own attempt, a TLS record the server of somebody else's.
func (n *Node) receive(conn net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { _ = conn.Close() })
	defer stop()
	reset(conn)
	_ = conn.SetDeadline(time.Now().Add(sniffTimeout))
	plain, token, isToken, err := link.Sniff(conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if isToken {
		c := n.calls.find(token)
		if c == nil {
			_ = conn.Close()
			return
		}
		via := Punch
		if c.reversed.Load() {
			via = Reverse
		}
		_ = c.prove(n.ctx, via, plain)
		return
	}
	if l, err := n.proof(n.ctx, plain); err == nil {
		stop() // what is admitted outlives the node
		n.await(l)
	}
}

// prove proves a connection that we dialled, and leaves the link to wait for its
// nomination.
func (n *Node) prove(ctx context.Context, conn net.Conn) error {
	l, err := n.proof(ctx, conn)
	if err == nil {
		n.all.Go(func() { n.await(l) })
	}
	return err
}

// proof runs the TLS server over a connection of which we are the callee.
func (n *Node) proof(ctx context.Context, conn net.Conn) (*link.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn = n.tuples.hold(conn)
	l, err := link.Server(ctx, conn, n.identity)
	if err != nil {
		return nil, err
	}
	linger(conn)
	return l, nil
}

// await takes the nomination of a link. Only here, behind a returned handshake,
// is anything decided, counted or handed on.
func (n *Node) await(l *link.Link) {
	stop := context.AfterFunc(n.ctx, func() { _ = l.Close() })
	defer stop()
	id, purpose, err := l.Nomination(time.Now().Add(nominationTimeout))
	if err != nil {
		_ = l.Close()
		return
	}
	switch {
	case n.gate(l.Peer()) == signaling.Stranger:
		n.log.Info("refused", "peer", l.Peer().String(), "remote", l.RemoteAddr())
		l.Refuse(link.ErrRefused)
		return
	case purpose == link.Session && len(n.backlog) == cap(n.backlog):
		l.Refuse(link.ErrBusy)
		return
	case !n.answers.take(l.Peer(), id, time.Now()):
		l.Refuse(link.ErrLost)
		return
	}
	conn, err := l.Admit()
	if err != nil {
		return
	}
	n.log.Info("accepted", "peer", l.Peer().Short(), "remote", conn.RemoteAddr())
	if !isRelayed(conn) { // a relay is a third party
		n.reflect.Trust(n.cfg.Now(), l.Peer(), conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
	}
	keep(conn)
	if purpose == link.Resume {
		n.resume(conn)
		return
	}
	if _, err := n.begin(conn, id, acceptedVia(conn), nil, session.Application); err != nil {
		n.log.Info("no session", "peer", l.Peer().Short(), "error", err)
	}
}

// echo sends back what comes, until the peer ends or falls silent.
func (n *Node) echo(conn *session.Stream) {
	stop := context.AfterFunc(n.ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	buf := make([]byte, 4<<10)
	for {
		_ = conn.SetDeadline(time.Now().Add(pingIdle))
		k, err := conn.Read(buf)
		if _, werr := conn.Write(buf[:k]); werr != nil {
			return
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = conn.CloseWrite()
			}
			return
		}
	}
}
