package node

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// joinTimeout bounds how long a callee takes to say whether it takes a
	// circuit.
	joinTimeout = 4 * time.Second
	// leadTimeout bounds how long a callee is called for a caller.
	leadTimeout = 6 * time.Second
	// awaitTimeout is how long an announcement lasts at most.
	awaitTimeout = time.Minute
)

// serveCircuit takes the request on a stream, and does what it asks for. looked
// is called when that is under way.
func (n *Node) serveCircuit(t *session.Stream, looked func()) {
	defer looked()
	stop := context.AfterFunc(n.ctx, func() { _ = t.Reset() })
	defer stop()
	r, err := circuit.Next(t)
	if err != nil {
		n.log.Info("no circuit", "peer", t.Peer().Short(), "error", err)
		n.carried.decline(circuit.Unsupported)
		_ = t.Reset()
		return
	}
	switch r.Op {
	case circuit.To:
		n.lead(t, r, looked)
	case circuit.From:
		stop() // a connection outlives the node
		n.arrive(t, r.Node)
	case circuit.Await:
		n.announce(t, r.Node)
	}
}

// announce has a caller admitted for as long as the callee, whose stream t is,
// holds it open.
func (n *Node) announce(t *session.Stream, caller address.Key) {
	defer t.Close()
	if n.cfg.Relaying.For.Level(t.Peer()) == signaling.Stranger {
		n.carried.decline(circuit.Refused)
		_ = circuit.Answer(t, circuit.Refused)
		return
	}
	done := n.circuits.announce(t.Peer(), caller)
	defer done()
	if circuit.Answer(t, circuit.Joined) != nil {
		return
	}
	_ = t.SetReadDeadline(time.Now().Add(awaitTimeout))
	_, _ = io.ReadFull(t, make([]byte, 1))
}

// lead joins a caller's stream with one to the callee that it asks for.
func (n *Node) lead(t *session.Stream, r circuit.Request, looked func()) {
	caller, callee := t.Peer(), r.Node
	limits := n.cfg.Relaying.Limits
	d, release := n.circuits.reserve(limits, circuit.Wish{
		Caller:  n.cfg.Relaying.For.Level(caller),
		Callee:  n.cfg.Relaying.For.Level(callee),
		Loop:    callee == caller || callee == n.ID() || pathIn(t.Session()).via == Relay,
		Linked:  n.linked(callee),
		Located: !r.Address.Key.IsZero(),
	}, caller, callee)
	defer release()
	var far *session.Stream
	status := d.Status()
	if status == circuit.Joined {
		far, status = n.bring(caller, r, d)
	}
	n.carried.decline(status)
	if status != circuit.Joined {
		release() // who hears of it may ask again at once
	}
	if err := circuit.Answer(t, status); err != nil || status != circuit.Joined {
		n.log.Info("not relayed", "from", caller.Short(), "to", callee.Short(), "why", (&circuit.Error{Status: status}).Error())
		if far != nil {
			_ = far.Reset()
		}
		_ = t.Close()
		return
	}
	looked()
	defer n.circuits.run(caller)()
	defer n.circuits.run(callee)()
	n.carry(t, far)
}

// carry passes on between the two ends of a circuit until it is over.
func (n *Node) carry(near, far *session.Stream) {
	caller, callee, limits, begun := near.Peer(), far.Peer(), n.cfg.Relaying.Limits, time.Now()
	session.Narrow(near, limits.Window())
	session.Narrow(far, limits.Window())
	number, meter := n.carried.begin(caller, callee)
	n.log.Info("relaying", "circuit", number, "from", caller.Short(), "to", callee.Short())
	n.events.tell(CircuitBegun{number, caller, callee})
	ctx, cancel := context.WithCancelCause(n.ctx)
	var watches sync.WaitGroup
	for _, s := range []*session.Session{near.Session(), far.Session()} {
		watches.Go(func() { cutInCircuit(ctx, s, cancel) })
	}
	err := circuit.Splice(ctx, near, far, limits, meter)
	cancel(nil)
	watches.Wait()
	there, back := n.carried.end(number)
	n.log.Info("relayed", "circuit", number, "there", there, "back", back, "error", err)
	n.events.tell(CircuitEnded{number, caller, callee, time.Since(begun), there, back, err})
}

// errRound ends a circuit of which one end has come to run through another one.
var errRound = errors.New("it has come to run through another circuit")

// cutInCircuit ends a circuit over a session as soon as that goes on over a circuit
// itself: two nodes that relay could be made to pass their own words on to each
// other for ever.
func cutInCircuit(ctx context.Context, s *session.Session, cut context.CancelCauseFunc) {
	for {
		changed := s.Changed()
		if !pathIn(s).by.IsZero() {
			cut(errRound)
			return
		}
		select {
		case <-changed:
		case <-s.Over():
			return
		case <-ctx.Done():
			return
		}
	}
}

// linked reports whether there is a session with a peer over which a circuit may
// lead.
func (n *Node) linked(peer address.Key) bool {
	return len(n.sessions.all(func(s *session.Session) bool {
		return s.Peer() == peer && pathIn(s).via != Relay && s.Takes()
	})) > 0
}

// bring opens the callee's end of a circuit, and says what the caller is to be
// told. That the callee does not want the caller, and that it is not there, look
// alike.
func (n *Node) bring(caller address.Key, r circuit.Request, d circuit.Decision) (*session.Stream, circuit.Status) {
	ctx, cancel := context.WithTimeout(n.ctx, joinTimeout+leadTimeout)
	defer cancel()
	far, err := n.reach(ctx, caller, r, d)
	if errors.Is(err, errHostsMany) {
		return nil, circuit.Busy
	}
	if err != nil {
		n.log.Info("a callee is not reached", "peer", r.Node.Short(), "error", err)
		return nil, circuit.Absent
	}
	asking, end := context.WithTimeout(ctx, joinTimeout)
	defer end()
	if err := circuit.Ask(asking, far, circuit.Request{Op: circuit.From, Node: caller}); err != nil {
		n.log.Info("a callee takes no circuit", "peer", r.Node.Short(), "error", err)
		_ = far.Reset()
		return nil, circuit.Absent
	}
	_ = far.SetDeadline(time.Time{})
	return far, circuit.Joined
}

// reach opens a stream to the callee, on the session that is there or on a new
// one.
func (n *Node) reach(ctx context.Context, caller address.Key, r circuit.Request, d circuit.Decision) (*session.Stream, error) {
	if d == circuit.Join {
		if c := n.reuse(r.Node, session.Circuit); c != nil {
			return c.Stream, nil
		}
		return nil, session.ErrEnding
	}
	done, ok := n.circuits.call(caller)
	if !ok {
		return nil, errHostsMany
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, leadTimeout)
	defer cancel()
	c, err := n.open(ctx, r.Address, session.Circuit)
	if err != nil {
		return nil, err
	}
	return c.Stream, nil
}
