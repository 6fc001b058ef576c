package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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
	// hopelessDelay is how long a dial waits that has never worked between the
	// two networks, as long as the punch lasts: a port may have been forwarded
	// since.
	hopelessDelay = time.Second
	// reverseTimeout bounds the wait for the peer's connection: a lost signal
	// and a lost SYN or two.
	reverseTimeout = 6 * time.Second
	// stagger is between the starts of dials to different endpoints
	// (RFC 8305 §5 has 250 ms for addresses that should all work; of ours
	// most do not).
	stagger = 30 * time.Millisecond
	// secondUplinkDelay is the advantage of the default route over other
	// uplinks (RFC 8305 §5).
	secondUplinkDelay = 250 * time.Millisecond
)

// direct dials the peer where its address says that it listens.
func (c *call) direct(ctx context.Context) error {
	return c.dialAll(ctx, Direct, dialable(c.node.Address(), c.peer))
}

// doubtful reports whether e is an endpoint at which the peer's NAT should let
// nobody in.
func (c *call) doubtful(e netip.AddrPort) bool {
	return slices.ContainsFunc(c.peer.Interfaces(), func(i address.Interface) bool {
		return e == i.ExternalEndpoint() && !i.NAT.AcceptsUnsolicited()
	})
}

// counts reports whether every new mapping of ours towards e moves the next
// one, so that a dial of no promise would spoil a prediction.
func (c *call) counts(e netip.AddrPort) bool {
	return slices.ContainsFunc(c.node.Address().Interfaces(), func(i address.Interface) bool {
		return i.NAT == nat.Symmetric && i.Delta.Predictable() && i.External.Is4() == e.Addr().Is4()
	})
}

// ready waits until e may be dialled, and gives how long that may take.
func (c *call) ready(ctx context.Context, e netip.AddrPort) (time.Duration, error) {
	if !c.doubtful(e) {
		return directTimeout, nil
	}
	switch {
	case c.lessons.directWorks():
		return directTimeout, nil // doubt was wrong here
	case c.lessons.directHopeless() && c.allows(Punch):
		// Not before what has worked here had its chance.
		late := time.NewTimer(hopelessDelay)
		defer late.Stop()
		select {
		case <-c.punched:
		case <-late.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		return doubtfulTimeout, nil
	}
	if c.allows(Punch) && c.counts(e) {
		select {
		case <-c.punching:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return doubtfulTimeout, nil
}

// dialAll dials endpoints one shortly after another, from ports of their own,
// and proves what connects.
func (c *call) dialAll(ctx context.Context, via Strategy, to []netip.AddrPort) error {
	if len(to) == 0 {
		return notTried("the two have no address family in common, or no address that leads from one to the other")
	}
	ways := waysTo(to, c.node.around.places())
	errs := make([]error, len(ways))
	var dials sync.WaitGroup
	for k, w := range ways {
		dials.Go(func() {
			if !pause(ctx, w.after+time.Duration(k)*stagger) {
				errs[k] = ctx.Err()
				return
			}
			limit, err := c.ready(ctx, w.to)
			if err != nil {
				errs[k] = err
				return
			}
			if w.from.device == "" && !c.claim(w.to) {
				errs[k] = dialError(w.to, notTried("it is dialled already"))
				return
			}
			dialing, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			c.note(via, "dialling %v", w)
			c.lessons.tryDirect()
			conn, err := w.dialer().DialContext(dialing, "tcp", w.to.String())
			if err == nil {
				err = c.prove(ctx, via, conn)
			}
			errs[k] = dialError(w.to, err)
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

// way is a dial to an endpoint, by route or from a place that the routes pass by.
type way struct {
	to    netip.AddrPort
	from  place // zero: by route
	after time.Duration
}

// waysTo lists the dials to endpoints: by route, and some time later by each
// uplink that has lost to another one's default route, lest that is the one which
// does not get there.
func waysTo(to []netip.AddrPort, places []place) []way {
	var ways []way
	for _, e := range to {
		ways = append(ways, way{to: e})
	}
	for _, p := range places {
		for _, e := range to {
			if p.device != "" && p.addr.Is4() == e.Addr().Is4() && !e.Addr().IsPrivate() && !e.Addr().IsLoopback() {
				ways = append(ways, way{e, p, secondUplinkDelay})
			}
		}
	}
	return ways[:min(len(ways), 2*maxDirect)]
}

func (w way) dialer() *net.Dialer {
	d := coldDialer()
	if w.from.device != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.from.addr, 0))
		d.Control = control(w.from.device)
	}
	return d
}

func (w way) String() string {
	if w.from.device == "" {
		return w.to.String()
	}
	return fmt.Sprintf("%v by %s", w.to, w.from.device)
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
	// The peer's connections come to the listener, which offers them by their
	// token. All that may be answered is a no.
	asking, cancel := context.WithTimeout(ctx, reverseTimeout)
	defer cancel()
	_, err = c.ask(asking, brokers, signaling.Message{
		Kind: signaling.KindDirect, Attempt: c.id, Direct: &signaling.Direct{Secret: c.secret, Dial: to},
	})
	if ctx.Err() == nil && !unheard(err) && !errors.Is(err, signaling.ErrRefused) && !errors.Is(err, signaling.ErrNoBroker) {
		return fmt.Errorf("the peer could not reach %v", to[0])
	}
	return err
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
		if i.NAT.AcceptsUnsolicited() || neighbours(peer, i) {
			some = append(some, i)
		}
	}
	return some
}
