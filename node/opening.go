package node

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/session"
)

// PingAnew is Ping over a session of its own: the peer is called even where
// there is a session with it.
func (n *Node) PingAnew(ctx context.Context, peer address.Address) (*Conn, error) {
	if peer.Foreign != "" {
		return nil, &ErrForeign{peer.Foreign}
	}
	if peer.Key == n.ID() {
		return nil, errors.New("that address is this node's own")
	}
	return n.callFor(ctx, peer, session.Echo)
}

// Tunnel opens a connection that begins with a request of node/tunnel. It comes
// to a peer's Accept only where the peer's Config.Tunnels is set, so that it is
// never taken for another. The error, or that of the first Read, is
// session.ErrNotServed where it is not, and session.ErrTooOld where the peer's
// version knows no such connections. The first one on a session costs a round
// trip, in which the peer tells what it knows, unless it has already.
func (n *Node) Tunnel(ctx context.Context, peer address.Address) (*Conn, error) {
	if c := n.reuse(peer.Key, session.Tunnel); c != nil {
		return c, nil
	}
	first, err := n.Ping(ctx, peer)
	if err != nil {
		return nil, err
	}
	defer first.Close() // after ours is open, or the session would end
	stop := context.AfterFunc(ctx, func() { _ = first.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := first.Verdict(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	t, err := first.Session().Open(session.Tunnel)
	if err != nil {
		return nil, err
	}
	return &Conn{Stream: t, took: first.took, log: first.log}, nil
}
