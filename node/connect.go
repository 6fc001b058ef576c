package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

// Connect calls the peer that target names: an address in any form, or a bare
// node id. (A nickname is made into an address by a nickname.Resolver first.)
// Connections on the LAN, direct, reverse and punched ones race; the first whose
// peer has proved the key wins. When ctx has no nearer end, Config.Timeout bounds
// it. A failure is a *ConnectError with every attempt and a hint, or the error
// of a target that cannot be parsed.
func (n *Node) Connect(ctx context.Context, target string) (*Conn, error) {
	peer, err := address.Parse(target)
	if err != nil {
		return nil, err
	}
	return n.ConnectAddress(ctx, peer)
}

// ConnectAddress is Connect for an address that is parsed already.
func (n *Node) ConnectAddress(ctx context.Context, peer address.Address) (*Conn, error) {
	return n.open(ctx, peer, session.Application)
}

// Ping opens a connection on which the peer sends every byte back, without its
// application seeing it.
func (n *Node) Ping(ctx context.Context, peer address.Address) (*Conn, error) {
	return n.open(ctx, peer, session.Echo)
}

// open opens a stream to peer, on a session that is there or on a new one. The
// way to a node that relays, or to whom a circuit leads, never leads through a
// relay, and is not narrowed by Config.Strategies: they are about the peer.
func (n *Node) open(ctx context.Context, peer address.Address, kind session.Kind) (*Conn, error) {
	if peer.Foreign != "" {
		return nil, &ErrForeign{peer.Foreign}
	}
	if peer.Key == n.ID() {
		return nil, errors.New("that address is this node's own")
	}
	if n.ctx.Err() != nil {
		return nil, fmt.Errorf("connect: %w", net.ErrClosed)
	}
	if c := n.reuse(peer.Key, kind); c != nil {
		return c, nil
	}
	return n.callFor(ctx, peer, kind)
}

// callFor calls a peer that is another node, and opens a stream on the session
// that this leads to.
func (n *Node) callFor(ctx context.Context, peer address.Address, kind session.Kind) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	stop := context.AfterFunc(n.ctx, cancel)
	defer stop()

	c, purpose := n.newCall(peer), ToConnect
	if kind == session.Circuit {
		c.by, c.aside, purpose = without(Strategies(), Relay), true, ToRelay
	}
	n.calls.add(c)
	defer n.calls.remove(c)
	n.events.tell(CallBegun{c.id.String(), peer.Key, purpose})
	o, failures := c.race(ctx)
	if o.link == nil {
		err := error(&ConnectError{Peer: peer.Key, Attempts: failures, Cause: context.Cause(ctx), Timeline: c.timeline()})
		if n.ctx.Err() != nil {
			err = fmt.Errorf("connect: %w", net.ErrClosed)
		} else {
			c.lessons.failed(ctx, failures)
		}
		c.ended("", err)
		return nil, err
	}
	took := time.Since(c.begun)
	stream, err := n.nominate(c, o, kind)
	if err != nil {
		err = &ConnectError{Peer: peer.Key, Attempts: []Failure{{o.via, err}}, Timeline: c.timeline()}
		c.ended(o.via, err)
		return nil, err
	}
	c.ended(o.via, nil)
	c.lessons.connected(o.via)
	n.log.Info("connected", "peer", peer.Key.Short(), "via", string(o.via), "remote", stream.RemoteAddr(), "took", took)
	return &Conn{Stream: stream, took: took, log: c.timeline()}, nil
}

// ended tells how the call went.
func (c *call) ended(via Strategy, err error) {
	e := CallEnded{Call: c.id.String(), Peer: c.peer.Key, Via: via, Took: time.Since(c.begun), Err: err}
	if err != nil {
		e.What = brief(err)
	}
	c.node.events.tell(e)
}

// nominate begins a session on the link that has won, with one stream.
func (n *Node) nominate(c *call, o offer, kind session.Kind) (*session.Stream, error) {
	l, err := o.link.Nominate(c.id, link.Session)
	if err != nil {
		return nil, err
	}
	keep(l)
	return n.begin(l, c.id, o.via, &rescuer{node: n, peer: c.peer, by: c.by}, kind)
}

// race runs every strategy that is allowed until one has offered a proven
// link, and waits for the others to end.
func (c *call) race(ctx context.Context) (offer, []Failure) {
	ctx, cancel := context.WithCancel(ctx)
	c.ctx = ctx
	var runners sync.WaitGroup
	leave := c.joinBrokers(ctx, &runners)
	defer func() {
		cancel() // first: whoever still waits for a broker or a peer need not
		leave()
		runners.Wait()
		c.end()
	}()
	run := map[Strategy]func(context.Context) error{LAN: c.onLAN, Direct: c.direct, Reverse: c.reverse, Punch: c.punch, Relay: c.relay}
	failed := make(chan Failure, len(run))
	started := 0
	start := func(s Strategy) {
		started++
		runners.Go(func() { failed <- Failure{s, run[s](ctx)} })
	}
	if c.allows(LAN) {
		start(LAN)
	}
	others := slices.DeleteFunc(Strategies(), func(s Strategy) bool { return s == LAN || !c.allows(s) })
	var located <-chan error // nil where nobody waits for it
	if len(others) > 0 {
		located = c.locate(ctx, &runners)
	}
	var failures []Failure
	for located != nil || len(failures) < started {
		if located == nil && len(failures) == started-1 {
			c.despair() // only the relay can be left
		}
		select {
		case o := <-c.proven:
			return o, nil
		case err := <-located:
			located = nil
			if err != nil {
				started++
				failed <- Failure{others[0], err}
				break
			}
			c.lessons = c.node.learned.about(c)
			for _, s := range others {
				start(s)
			}
		case f := <-failed:
			if f.Err == nil {
				f.Err = context.Cause(ctx)
			}
			c.noteError(f.Strategy, "ended: ", f.Err)
			var moot notTried
			if f.Strategy == Punch && !errors.As(f.Err, &moot) {
				c.despair()
			}
			failures = append(failures, f)
		}
	}
	select {
	case o := <-c.proven:
		return o, nil
	default:
	}
	slices.SortFunc(failures, func(a, b Failure) int {
		return slices.Index(Strategies(), a.Strategy) - slices.Index(Strategies(), b.Strategy)
	})
	return offer{}, failures
}

// locate finds out where we are, and where the peer is, unless its address says
// so. All strategies but LAN want to know.
func (c *call) locate(ctx context.Context, runners *sync.WaitGroup) <-chan error {
	located := make(chan error, 1)
	runners.Go(func() {
		select {
		case <-c.node.ready:
		case <-ctx.Done():
			located <- ctx.Err()
			return
		}
		if len(c.peer.Interfaces()) > 0 {
			located <- nil
		} else {
			located <- c.refresh(ctx)
		}
	})
	return located
}

// joinBrokers connects to the peer's brokers in the background. joined waits
// for that.
func (c *call) joinBrokers(ctx context.Context, runners *sync.WaitGroup) (leave func()) {
	brokers := c.node.meetingPoints(c.peer)
	var err error
	var left func()
	done := make(chan struct{})
	runners.Go(func() {
		defer close(done)
		left, err = c.node.channel.Join(ctx, brokers)
		if err != nil {
			c.noteError("", "no broker of the peer reached: ", err)
		} else {
			c.note("", "on a broker of the peer")
		}
	})
	c.joined = func() ([]address.Broker, error) {
		select {
		case <-done:
			return brokers, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() {
		<-done
		if left != nil {
			left()
		}
	}
}

// meetingPoints are the brokers on which peer may be met: those that its address
// names, or those that follow from its key. Brokers of one's own replace the
// well-known list, so that the public ones never hear of a private deployment.
func (n *Node) meetingPoints(peer address.Address) []address.Broker {
	switch {
	case len(peer.Brokers) > 0:
		return peer.Brokers
	case n.ownBrokers:
		return n.cfg.Brokers
	}
	return signaling.Home(peer.Key, signaling.CallBrokers)
}

// refresh asks the peer for its current address.
func (c *call) refresh(ctx context.Context) error {
	brokers, err := c.joined()
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, brokers, signaling.Message{Kind: signaling.KindGetAddress, Attempt: c.id})
	if err != nil {
		return err
	}
	c.note("", "the peer told its address")
	c.peer.V4, c.peer.V6 = answer.Message.From.V4, answer.Message.From.V6
	c.peer.MachineID = answer.Message.From.MachineID
	return nil
}
