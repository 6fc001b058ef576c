package node

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/session"
)

// opening opens a stream of some kind on a session.
type opening func(context.Context, *session.Session) (*session.Stream, error)

func plainly(_ context.Context, s *session.Session) (*session.Stream, error) { return s.Open(false) }

func echoed(_ context.Context, s *session.Session) (*session.Stream, error) { return s.Open(true) }

// Tunnel opens a connection that begins with a request of node/tunnel. It comes
// to a peer's Accept only where the peer's Config.Tunnels is set, so that it is
// never taken for another. The error, or that of the first Read, is
// session.ErrNotServed where it is not, and session.ErrTooOld where the peer's
// version knows no such connections.
func (n *Node) Tunnel(ctx context.Context, peer address.Address) (*Conn, error) {
	return n.open(ctx, peer, tunnelled)
}

// tunnelled has the peer tell first which kinds it knows, where it has not yet,
// which costs a round trip.
func tunnelled(ctx context.Context, s *session.Session) (*session.Stream, error) {
	t, err := s.OpenTunnel()
	if !errors.Is(err, session.ErrUntold) {
		return t, err
	}
	first, err := s.Open(true)
	if err != nil {
		return nil, err
	}
	defer first.Close() // when ours is open, or the session would end
	stop := context.AfterFunc(ctx, func() { _ = first.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := first.Verdict(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return s.OpenTunnel()
}
