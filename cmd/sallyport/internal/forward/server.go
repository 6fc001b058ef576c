package forward

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// requestTimeout is how long a stream may be silent about where it leads.
const requestTimeout = 10 * time.Second

// DialTimeout bounds the dial to a service nearby.
const DialTimeout = 10 * time.Second

// Server does what peers ask for by their forwards. It holds where they listen here, so
// that one serves all of a node's tunnels.
type Server struct {
	Dial   tunnel.Rules // what may be connected to
	Listen tunnel.Rules // where peers may listen
	// Wanted is told of each request to dial or to listen, and how it was answered.
	Wanted func(c *node.Conn, kind tunnel.Kind, place tunnel.Place, status tunnel.Status)

	porters porters
}

// Serve does what the peer asks for on a stream, which is a tunnel, and returns when that
// is over. When ctx ends, what is local is closed under it.
func (t *Server) Serve(ctx context.Context, c *node.Conn) pipe.Traffic {
	_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
	q, err := tunnel.ReadRequest(c)
	if err != nil {
		pipe.Cut(c)
		if errors.Is(err, tunnel.ErrForeign) {
			err = errors.New("the peer opens a tunnel, and does not say where it shall lead")
		}
		return pipe.Traffic{Err: err}
	}
	_ = c.SetReadDeadline(time.Time{})
	switch q.Kind {
	case tunnel.Dial:
		return t.dial(ctx, c, q.Place)
	case tunnel.Listen:
		return pipe.Traffic{Err: t.porters.serve(ctx, c, q.Place, t)}
	}
	local := t.porters.take(c.Peer(), q.Ticket)
	if local == nil {
		return refuse(c, tunnel.Gone, errors.New("the connection that the peer takes is no more"))
	}
	if _, err := c.Write(tunnel.Reply{}.Bytes()); err != nil {
		pipe.Abort(local)
		return pipe.Traffic{Err: err}
	}
	stop := context.AfterFunc(ctx, func() { pipe.Abort(local) })
	defer stop()
	return pipe.Join(c, local)
}

// refuse answers with a no.
func refuse(c *node.Conn, status tunnel.Status, err error) pipe.Traffic {
	_, _ = c.Write(tunnel.Reply{Status: status}.Bytes())
	pipe.Leave(c)
	return pipe.Traffic{Err: err}
}

// dial connects the stream to a service, if it may.
func (t *Server) dial(ctx context.Context, c *node.Conn, to tunnel.Place) pipe.Traffic {
	local, err := dialAllowed(ctx, t.Dial, to)
	status := tunnel.StatusOf(err)
	t.Wanted(c, tunnel.Dial, to, status)
	if err != nil {
		return refuse(c, status, &tunnel.RefusedError{Kind: tunnel.Dial, Place: to, Status: status})
	}
	if _, err := c.Write(tunnel.Reply{}.Bytes()); err != nil {
		pipe.Abort(local)
		return pipe.Traffic{Err: err}
	}
	stop := context.AfterFunc(ctx, func() { pipe.Abort(local) })
	defer stop()
	return pipe.Join(c, local)
}

// dialAllowed dials what the rules leave of a place, one address after another.
func dialAllowed(ctx context.Context, rules tunnel.Rules, to tunnel.Place) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	places, err := rules.Resolve(ctx, to, func(ctx context.Context, name string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		var conn net.Conn
		var d net.Dialer
		if conn, err = d.DialContext(ctx, "tcp", p.String()); err == nil {
			return conn.(*net.TCPConn), nil
		}
	}
	return nil, err
}
