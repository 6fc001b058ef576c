package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
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
	relayGrace = 500 * time.Millisecond
	// allocateTimeout bounds the attempt to use one relay.
	allocateTimeout = 4 * time.Second
	// relayTimeout bounds the wait for the peer at the relay, as reverseTimeout
	// does for the peer at our door.
	relayTimeout = 8 * time.Second
	// hostTimeout is the same where we have no relay and ask for the peer's.
	hostTimeout = 5 * time.Second
	// swapTimeout is how long a peer that has told us of its endpoint, to which we
	// don't get, has to come to ours by its own relay.
	swapTimeout = 4 * time.Second
	// maxRelayed is how many connections at the relay are looked at: a
	// permission is for an address, which strangers may share with the peer.
	maxRelayed = 16
)

// relay meets the peer at a relay of ours, or at one of the peer's: a server or
// a node.
func (c *call) relay(ctx context.Context) error {
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
	l, err := c.anyRelay(ctx, brokers)
	if err != nil {
		return err
	}
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

// atServer meets the peer at a TURN server of ours, or at one of the peer's.
func (c *call) atServer(ctx context.Context, brokers []address.Broker) (*link.Link, error) {
	a, failed := c.node.allocate(ctx, externals(c.peer), func(format string, args ...any) { c.note(Relay, format, args...) })
	var t terms
	l, err := c.meet(ctx, a, brokers, &t)
	if err != nil {
		switch {
		case a != nil:
			_ = a.Close()
		case failed != nil:
			return nil, failed
		case errors.Is(err, signaling.ErrRefused):
			return nil, errNowhere
		}
		return nil, t.explain(err)
	}
	if a != nil {
		a.Retire()
	}
	return l, nil
}

// externals are the addresses from which peer's connections come: the public
// ones, or all where it has none.
func externals(peer address.Address) []netip.Addr {
	var public, all []netip.Addr
	for _, i := range peer.Interfaces() {
		all = append(all, i.External)
		if relay.Public(i.External) {
			public = append(public, i.External)
		}
	}
	if len(public) > 0 {
		return public
	}
	return all
}

// allocate gets an endpoint on the first relay of ours that gives one which
// those peers may come to, or those who come from the same relay. It gives nil
// and no error where we have no relay.
func (n *Node) allocate(ctx context.Context, peers []netip.Addr, note func(format string, args ...any)) (*relay.Allocation, error) {
	var errs []error
	for _, place := range n.cfg.Relays {
		a, err := func() (*relay.Allocation, error) {
			ctx, cancel := context.WithTimeout(ctx, allocateTimeout)
			defer cancel()
			a, err := relay.Allocate(ctx, place, n.relayConfig())
			if err == nil {
				if err = a.Permit(ctx, unique(append(slices.Clone(peers), a.Addr().Addr()))...); err != nil {
					_ = a.Close()
				}
			}
			return a, err
		}()
		if err == nil {
			note("%v leads to us from %v", place, a.Addr())
			return a, nil
		}
		note("%v", err)
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (n *Node) relayConfig() relay.Config {
	return relay.Config{Dialer: *coldDialer(), Now: n.cfg.Now, Logger: n.log}
}

func addrsOf(list []netip.AddrPort) []netip.Addr {
	addrs := make([]netip.Addr, len(list))
	for n, e := range list {
		addrs[n] = e.Addr()
	}
	return unique(addrs)
}

func unique(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// invitation is what brings peer to an endpoint of ours. The credentials of our
// relay are lent with it where we may.
func invitation(secret signaling.Secret, a *relay.Allocation, peer address.Key, lend bool) *signaling.Relay {
	m := &signaling.Relay{Secret: secret, Dial: []netip.AddrPort{a.Addr()}}
	if lend {
		if p, ok := a.Lend([]byte(peer.String())); ok {
			m.Loan = &signaling.Loan{At: a.Server(), TLS: p.Name, User: p.User, Password: p.Password}
		}
	}
	return m
}

// meet signals the peer, accepts at our endpoint a, and goes to the one that
// the peer may answer with, until a connection is proven to be the peer's. a may
// be nil. It notes the terms on which the two can meet.
func (c *call) meet(call context.Context, a *relay.Allocation, brokers []address.Broker, t *terms) (*link.Link, error) {
	m := signaling.Message{Kind: signaling.KindRelay, Attempt: c.id, Relay: &signaling.Relay{Secret: c.secret}}
	patience := hostTimeout
	if a != nil {
		m.Relay = invitation(c.secret, a, c.peer.Key, true) // whom we call we trust so far
		patience = relayTimeout
		t.ours, t.lent = true, m.Relay.Loan != nil
	}
	ctx, cancel := context.WithTimeout(call, patience)
	defer cancel()
	won := make(chan *link.Link, 1)
	win := func(l *link.Link) {
		select {
		case won <- l:
			cancel()
		default:
			_ = l.Close()
		}
	}
	var told, failed error
	var work sync.WaitGroup
	work.Go(func() {
		answer, err := c.ask(ctx, brokers, m)
		if told = err; err == nil {
			begun := time.Now()
			t.answered(answer.Message.Relay)
			if a != nil && answer.Message.Relay != nil { // the peer may come from there
				work.Go(func() { _ = a.Permit(call, addrsOf(answer.Message.Relay.Dial)...) })
			}
			told = c.visit(ctx, answer.Message, win)
			if told != nil && a != nil && !t.lent && c.node.confined() && pause(ctx, time.Until(begun.Add(swapTimeout))) {
				cancel()
			}
		}
		if a == nil || errors.Is(told, signaling.ErrRefused) || errors.Is(told, signaling.ErrNoBroker) || unheard(told) {
			cancel()
		}
	})
	for range maxRelayed {
		if a == nil {
			break
		}
		conn, err := a.Accept(ctx)
		if err != nil {
			failed = err
			break
		}
		work.Go(func() {
			if l, err := c.recognise(ctx, conn); err == nil {
				win(l)
			}
		})
	}
	work.Wait()
	select {
	case l := <-won:
		return l, nil
	default:
	}
	if told != nil && !errors.Is(told, context.Canceled) && !errors.Is(told, context.DeadlineExceeded) || failed == nil {
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
