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

	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

const (
	// detourAfter is how long a plain dial to an endpoint on a relay has the field
	// to itself: what is not answered by then needs a way round.
	detourAfter = time.Second
	// strandedAfter is how long it goes on in a confined network without a way
	// round: there is little hope, and whoever waits shall be told.
	strandedAfter = 2 * time.Second
)

var errStranded = fmt.Errorf("no answer within %v by plain TCP, nor any from STUN servers", strandedAfter)

// confined reports whether no STUN server has ever answered from these
// networks: they let out little, and the port of an allocation least of all.
func (n *Node) confined() bool {
	return !n.noSTUN() && !slices.ContainsFunc(n.around.places(), func(p place) bool {
		r := n.around.report(p.addr)
		return r.UDP.Answered+r.TCP.Answered > 0
	})
}

// come goes to an endpoint on a relay by plain TCP, and round about where that
// fails or does not get there soon. The first success ends the other.
func (n *Node) come(ctx context.Context, plain, detour func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialing, strand := context.WithCancelCause(ctx)
	defer strand(nil)
	begun, confined, patience := time.Now(), n.confined(), detourAfter
	if confined {
		patience = 0
	}
	var errs [2]error
	failed := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		if errs[0] = plain(dialing); errs[0] == nil {
			cancel()
		} else if context.Cause(dialing) == errStranded {
			errs[0] = errStranded
		}
		close(failed)
	})
	work.Go(func() {
		head := time.NewTimer(patience)
		defer head.Stop()
		select {
		case <-head.C:
		case <-failed:
		case <-ctx.Done():
		}
		if errs[1] = ctx.Err(); errs[1] != nil {
			return
		}
		if errs[1] = detour(ctx); errs[1] == nil {
			cancel()
		} else if confined && pause(ctx, time.Until(begun.Add(strandedAfter))) {
			strand(errStranded)
		}
	})
	work.Wait()
	if errs[0] == nil || errs[1] == nil {
		return nil
	}
	return fmt.Errorf("%w; %w", errs[0], errs[1])
}

var errInner = errors.New("an inner address, which is another one where the relay is")

// leadsInside reports whether a relay on the internet, of which at is an
// endpoint, would be led into its own site.
func leadsInside(at, to netip.Addr) bool { return relay.Public(at) && !relay.Public(to) }

// goRound connects with an endpoint on a relay from one of our own at place,
// which ends with the connection. The dials to that relay last for limit at
// most.
func (n *Node) goRound(ctx context.Context, place relay.Place, limit time.Duration, to netip.AddrPort) (*relay.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, allocateTimeout)
	defer cancel()
	cfg := n.relayConfig()
	cfg.Dialer.Timeout = limit
	a, err := relay.Allocate(ctx, place, cfg)
	if err != nil {
		return nil, err
	}
	if leadsInside(a.Addr().Addr(), to.Addr()) {
		_ = a.Close()
		return nil, dialError(to, errInner)
	}
	conn, err := a.Connect(ctx, to)
	if err != nil {
		_ = a.Close()
		return nil, err
	}
	a.Retire()
	return conn, nil
}

// borrow is goRound with what a peer has lent, as far as packets may be sent to
// where that is.
func (n *Node) borrow(ctx context.Context, permit *reflector.Permit, l *signaling.Loan, to netip.AddrPort) (*relay.Conn, error) {
	// One connection for control and one for the data.
	limit := permit.Connect(n.cfg.Now(), l.At, reflector.Lasts(loanSYNs))
	if limit <= 0 || permit.Connect(n.cfg.Now(), l.At, limit) < limit {
		return nil, errNotPermitted
	}
	place := relay.Place{Host: l.At.String(), TLS: l.TLS != "", Name: l.TLS, User: l.User, Password: l.Password}
	return n.goRound(ctx, place, limit, to)
}

// visit goes to the peer at the peer's relay: by plain TCP, from a relay of our
// own, or with what the peer lends us.
func (c *call) visit(ctx context.Context, m signaling.Message, win func(*link.Link)) error {
	if m.Relay == nil {
		return fmt.Errorf("the peer answered with a %s", m.Kind)
	}
	n, r := c.node, m.Relay
	c.note(Relay, "the peer is at %v", r.Dial[0])
	asked := r.Dial
	if r.Loan != nil {
		asked = append(slices.Clone(asked), r.Loan.At)
	}
	// We called this peer; that does not make its word about others any better.
	permit := n.permit(signaling.In{From: c.peer.Key, Message: m, Level: max(signaling.Open, n.admission().Level(c.peer.Key))}, asked)
	meet := func(conn net.Conn, err error) error {
		if err != nil {
			return err
		}
		l, err := c.proof(ctx, Relay, relayed{conn})
		if err == nil {
			win(l)
		}
		return err
	}
	plain := func(ctx context.Context) error {
		limit := permit.Connect(n.cfg.Now(), r.Dial[0], reflector.Lasts(plainSYNs))
		if limit <= 0 {
			return errNotPermitted
		}
		dialing, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		conn, err := coldDialer().DialContext(dialing, "tcp", r.Dial[0].String())
		return dialError(r.Dial[0], meet(conn, err))
	}
	return n.come(ctx, plain, func(ctx context.Context) error {
		err := errNoWayRound
		try := func(conn *relay.Conn, failed error) bool {
			if failed == nil {
				failed = meet(conn, nil)
			}
			if failed != nil {
				c.noteError(Relay, "", failed)
				err = fmt.Errorf("%w; %w", failed, err)
			}
			return failed == nil
		}
		for _, place := range n.cfg.Relays {
			c.note(Relay, "going there by %v", place)
			if try(n.goRound(ctx, place, directTimeout, r.Dial[0])) {
				return nil
			}
		}
		if r.Loan != nil {
			c.note(Relay, "going there by %v, which is lent", r.Loan.At)
			if try(n.borrow(ctx, permit, r.Loan, r.Dial[0])) {
				return nil
			}
		}
		return err
	})
}

var errNoWayRound = errors.New("no way round to the peer's relay")

// plainSYNs is how many packets a plain dial to the peer's relay may cost, and
// loanSYNs the same for each of the two connections to a relay that is lent.
const plainSYNs, loanSYNs = 4, 2
