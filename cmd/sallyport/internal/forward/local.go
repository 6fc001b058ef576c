package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/socks"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// beginLocal serves a port here until ctx ends.
func (f *forwarder) beginLocal(ctx context.Context, s Spec, l *net.TCPListener) {
	f.announce(s)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	f.running.Go(func() {
		defer stop()
		for {
			conn, err := l.AcceptTCP()
			switch {
			case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
				if err == nil {
					pipe.Abort(conn)
				}
				return
			case err != nil:
				time.Sleep(100 * time.Millisecond) // out of descriptors, mostly
			case !f.enter():
				pipe.Abort(conn)
				f.tellFull(conn.RemoteAddr().String())
			default:
				f.running.Go(func() {
					defer f.leave()
					f.carry(ctx, s, conn.RemoteAddr().String(), conn, func(p *passage) pipe.Traffic { return f.outward(ctx, s, p, conn) })
				})
			}
		}
	})
}

// outward carries a connection that came in here to the peer. One that gets
// nowhere is reset.
func (f *forwarder) outward(ctx context.Context, s Spec, p *passage, conn *net.TCPConn) pipe.Traffic {
	if s.Kind == SOCKS {
		return f.proxy(ctx, p, conn)
	}
	if s.To == (tunnel.Place{}) {
		c, err := f.line.open(ctx, (*node.Node).ConnectAddress)
		if err != nil {
			pipe.Abort(conn)
			return pipe.Traffic{Err: err}
		}
		return pipe.Join(c, conn)
	}
	q := tunnel.Request{Kind: tunnel.Dial, Place: s.To}
	c, err := f.line.request(ctx, q)
	if err != nil {
		pipe.Abort(conn)
		return pipe.Traffic{Err: err}
	}
	return pipe.Join(&asked{Conn: c, request: q}, conn)
}

// asked is a stream whose reply is still to come: what follows the request need
// not wait for it.
type asked struct {
	*node.Conn
	request tunnel.Request
	once    sync.Once
	err     error
}

// Read reads the reply first. A no is its error.
func (a *asked) Read(p []byte) (int, error) {
	a.once.Do(func() { _, a.err = answer(a.Conn, a.request) })
	if a.err != nil {
		return 0, a.err
	}
	return a.Conn.Read(p)
}

// WriteTo takes the place of the stream's, which would pass the reply on.
func (a *asked) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{a}) }

// proxy serves a SOCKS client.
func (f *forwarder) proxy(ctx context.Context, p *passage, conn *net.TCPConn) pipe.Traffic {
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	to, err := socks.Handshake(conn)
	if err != nil {
		leaveLocal(conn)
		return pipe.Traffic{Err: err}
	}
	_ = conn.SetDeadline(time.Time{})
	p.to = to
	q := tunnel.Request{Kind: tunnel.Dial, Place: to}
	c, err := f.line.request(ctx, q)
	if err == nil {
		if _, err = answer(c, q); err != nil {
			pipe.Cut(c)
		}
	}
	code := socks.Succeeded
	var no *tunnel.RefusedError
	switch {
	case errors.As(err, &no):
		code = socks.CodeOf(no.Status)
	case err != nil:
		code = socks.GeneralFailure
	}
	if told := socks.Answer(conn, code); err == nil && told != nil {
		err = told
		pipe.Cut(c)
	}
	if err != nil {
		leaveLocal(conn)
		return pipe.Traffic{Err: err}
	}
	return pipe.Join(c, conn)
}

// leaveLocal is leave for a client here: its last words may be under way, and
// would else destroy ours.
func leaveLocal(conn *net.TCPConn) {
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	var b [512]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			break
		}
	}
	_ = conn.Close()
}
