package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// directTimeout bounds a dial to where strangers get in: a SYN may be lost
	// three times.
	directTimeout = 4 * time.Second
	// doubtfulTimeout bounds a dial to where they should not: it is tried
	// because a port may be forwarded there, and one loss is forgiven.
	doubtfulTimeout = 1500 * time.Millisecond
	// stagger is between the starts of dials to different endpoints
	// (RFC 8305 §5 has 250 ms for addresses that should all work; of ours
	// most do not).
	stagger = 30 * time.Millisecond
)

// direct dials the peer where its address says that it listens.
func (c *call) direct(ctx context.Context) error {
	return c.dialAll(ctx, Direct, dialable(c.node.Address(), c.peer))
}

// patience is how long a dial to e may take.
func (c *call) patience(e netip.AddrPort) time.Duration {
	for _, i := range c.peer.Interfaces() {
		if e == i.ExternalEndpoint() && !i.NAT.AcceptsUnsolicited() && i.NAT != nat.TypeUnknown {
			return doubtfulTimeout
		}
	}
	return directTimeout
}

// dialAll dials endpoints one shortly after another, from ports of their own,
// and proves what connects.
func (c *call) dialAll(ctx context.Context, via Strategy, to []netip.AddrPort) error {
	if len(to) == 0 {
		return notTried("the two have no address family in common")
	}
	errs := make([]error, len(to))
	var dials sync.WaitGroup
	for k, e := range to {
		dials.Go(func() {
			if !pause(ctx, time.Duration(k)*stagger) {
				errs[k] = ctx.Err()
				return
			}
			dialing, cancel := context.WithTimeout(ctx, c.patience(e))
			defer cancel()
			c.note(via, "dialling %v", e)
			conn, err := coldDialer().DialContext(dialing, "tcp", e.String())
			if err == nil {
				err = c.prove(ctx, via, conn)
			}
			errs[k] = dialError(e, err)
		})
	}
	dials.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// reverse asks the peer to dial us, where it has a chance to.
func (c *call) reverse(ctx context.Context) error {
	self := c.node.Address()
	to := reachableFrom(self, c.peer)
	if len(to) == 0 {
		return notTried("our NAT lets no strangers in")
	}
	brokers, err := c.joined()
	if err != nil {
		return err
	}
	c.reversed.Store(true)
	c.note(Reverse, "asking the peer to dial %v", to[0])
	err = c.node.exchange.Send(ctx, c.peer.Key, brokers, signaling.Message{
		Kind: signaling.KindDirect, Attempt: c.id, Direct: &signaling.Direct{Secret: c.secret, Dial: to},
	})
	if err != nil {
		return err
	}
	c.note(Reverse, "the peer has the message")
	// Its connections come to the listener, which offers them by their token.
	if pause(ctx, directTimeout) {
		return fmt.Errorf("the peer could not reach %v", to[0])
	}
	return ctx.Err()
}

// reachableFrom lists the endpoints of self at which peer may reach it unasked.
func reachableFrom(self, peer address.Address) []netip.AddrPort {
	mine := self
	mine.V4 = takesStrangers(self.V4, peer)
	mine.V6 = takesStrangers(self.V6, peer)
	return dialable(peer, mine)
}

func takesStrangers(list []address.Interface, peer address.Address) []address.Interface {
	var some []address.Interface
	for _, i := range list {
		if i.NAT == nat.Open || i.NAT == nat.FullCone || behindOneNAT(peer, i) {
			some = append(some, i)
		}
	}
	return some
}

// pause waits for d, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
