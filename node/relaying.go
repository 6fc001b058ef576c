package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// relayAfter is how long the other strategies have the field to
	// themselves, unless they have nothing left to try.
	relayAfter = 1500 * time.Millisecond
	// relayGrace is how long a proven link through a relay waits for a better
	// one, unless nothing else is left to try: a punch may be in its second
	// round.
	relayGrace = 2 * time.Second
	// allocateTimeout bounds the attempt to use one relay.
	allocateTimeout = 4 * time.Second
	// relayTimeout bounds the wait for the peer at the relay, as reverseTimeout
	// does for the peer at our door.
	relayTimeout = 8 * time.Second
	// maxRelayed is how many connections at the relay are looked at: a
	// permission is for an address, which strangers may share with the peer.
	maxRelayed = 16
)

// relay asks the peer to dial us at a relay of ours.
func (c *call) relay(ctx context.Context) error {
	if len(c.node.cfg.Relays) == 0 {
		return notTried("no relay is configured")
	}
	head := time.NewTimer(relayAfter)
	defer head.Stop()
	select {
	case <-head.C:
	case <-c.hopeless:
	case <-ctx.Done():
		return ctx.Err()
	}
	brokers, err := c.joined()
	if err != nil {
		return err
	}
	a, err := c.allocate(ctx)
	if err != nil {
		return err
	}
	l, err := c.meet(ctx, a, func(ctx context.Context) error {
		_, err := c.ask(ctx, brokers, signaling.Message{
			Kind: signaling.KindRelay, Attempt: c.id, Relay: &signaling.Relay{Secret: c.secret, Dial: []netip.AddrPort{a.Addr()}},
		})
		return err
	})
	if err != nil {
		_ = a.Close()
		return err
	}
	// From here on the allocation ends with the link.
	grace := time.NewTimer(relayGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-c.hopeless:
	case <-ctx.Done():
		_ = l.Close()
		return ctx.Err()
	}
	c.offer(l, Relay)
	return nil
}

// allocate gets an endpoint on the first relay that gives one which the peer
// may dial.
func (c *call) allocate(ctx context.Context) (*relay.Allocation, error) {
	var peers []netip.Addr
	for _, i := range c.peer.Interfaces() {
		peers = append(peers, i.External)
	}
	var errs []error
	for _, place := range c.node.cfg.Relays {
		a, err := func() (*relay.Allocation, error) {
			ctx, cancel := context.WithTimeout(ctx, allocateTimeout)
			defer cancel()
			a, err := relay.Allocate(ctx, place, relay.Config{Dialer: *coldDialer(), Now: c.node.cfg.Now, Logger: c.node.log})
			if err == nil {
				if err = a.Permit(ctx, peers...); err != nil {
					_ = a.Close()
				}
			}
			return a, err
		}()
		if err == nil {
			c.note(Relay, "%v leads to us from %v", place, a.Addr())
			return a, nil
		}
		c.note(Relay, "%v", err)
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// meet signals the peer and accepts at the relay until a connection is proven
// to be the peer's. That one keeps the allocation.
func (c *call) meet(ctx context.Context, a *relay.Allocation, signal func(context.Context) error) (*link.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	won := make(chan *link.Link, 1)
	var told error
	var work sync.WaitGroup
	work.Go(func() {
		told = signal(ctx)
		if errors.Is(told, signaling.ErrRefused) || errors.Is(told, signaling.ErrNoBroker) || unheard(told) {
			cancel()
		}
	})
	var failed error
	work.Go(func() {
		for range maxRelayed {
			conn, err := a.Accept(ctx)
			if err != nil {
				failed = err
				break
			}
			work.Go(func() {
				l, err := c.recognise(ctx, conn)
				if err != nil {
					return
				}
				select {
				case won <- l:
					conn.Keep()
					cancel()
				default:
					_ = l.Close()
				}
			})
		}
	})
	work.Wait()
	select {
	case l := <-won:
		return l, nil
	default:
	}
	if told != nil && !errors.Is(told, context.Canceled) && !errors.Is(told, context.DeadlineExceeded) {
		return nil, told
	}
	return nil, failed
}

// recognise proves a connection at the relay, if it shows our token.
func (c *call) recognise(ctx context.Context, conn net.Conn) (*link.Link, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	_ = conn.SetDeadline(time.Now().Add(sniffTimeout))
	plain, token, ok, err := link.Sniff(conn)
	if err == nil && (!ok || token != c.token) {
		err = errors.New("a stranger at the relay")
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return c.proof(ctx, Relay, plain)
}

// relayed is a connection to a relay that leads to a peer: what it is connected
// with says nothing of where the peer is.
type relayed struct{ net.Conn }

// isRelayed reports whether c runs over such a connection.
func isRelayed(c net.Conn) bool {
	for {
		if _, ok := c.(relayed); ok {
			return true
		}
		beneath, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		c = beneath.NetConn()
	}
}

// NetConn is the connection beneath.
func (r relayed) NetConn() net.Conn { return r.Conn }
