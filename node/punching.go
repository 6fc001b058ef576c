package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

const (
	// roundTimeout bounds a round besides its signals: one lost SYN is met by
	// the kernel's next one after 1 s, more by another round. A proof that is
	// under way then may end.
	roundTimeout = 1200 * time.Millisecond
	// briefTimeout is the same for a round between standing mappings that is not
	// the last: the next round's SYNs are out as soon as the kernel would repeat
	// those of this one, and from fresh ports. What the peer's kernel repeats
	// still finds our listener.
	briefTimeout = 700 * time.Millisecond
	// signalPatience is how long a peer may leave every signal of a call
	// unanswered before it counts as absent.
	signalPatience = 5 * time.Second
	// birthdayTimeout is the same for a birthday, whose dials take two seconds.
	birthdayTimeout = 4 * time.Second
	// standingRounds and predictedRounds are how often a punch is tried. Where
	// the mappings stand, a second round from fresh ports shows whether they
	// were stale; a third would meet the same. A prediction may just have been
	// spoilt.
	standingRounds, predictedRounds = 2, 4
	// punchTimeout bounds what a callee does for one message.
	punchTimeout = 8 * time.Second
	// nextPair is how long the best pair of interfaces has the field to itself:
	// longer than a round takes that meets.
	nextPair = 800 * time.Millisecond
	// unknownOneWay is the delay through a broker that is assumed where none
	// was measured.
	unknownOneWay = 100 * time.Millisecond
	// fallbackAfter is how long past the expected end of a primed punch the
	// primer goes over to plain dialling.
	fallbackAfter = 500 * time.Millisecond
)

// punch opens both NATs at once, for both families side by side.
func (c *call) punch(ctx context.Context) (err error) {
	defer c.opened()
	defer func() {
		if err != nil {
			close(c.punched)
		}
	}()
	families := c.punchable()
	if len(families) == 0 {
		return notTried("both are behind the same external address, or have no address family in common")
	}
	errs := make([]error, len(families))
	var punches sync.WaitGroup
	for k, pairs := range families {
		punches.Go(func() { errs[k] = c.punchPairs(ctx, pairs) })
	}
	punches.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// punchable pairs our interfaces and the peer's for a punch.
func (c *call) punchable() [][]pair {
	around := c.node.around
	return punchable(c.node.Address(), c.peer, func(i address.Interface) time.Duration { return around.round(around.local(i.Index)) })
}

// punchPairs punches between pairs of one family: each one when the one before
// it has had its time, or has failed.
func (c *call) punchPairs(ctx context.Context, pairs []pair) error {
	errs := make([]error, len(pairs))
	begun := 0
	var punches sync.WaitGroup
	var before chan struct{} // closed when the pair before has ended
	for k, p := range pairs {
		if k > 0 && !pauseUntil(ctx, before, nextPair) {
			break
		}
		begun++
		ended := make(chan struct{})
		before = ended
		punches.Go(func() {
			defer close(ended)
			errs[k] = c.punchPair(ctx, p)
		})
	}
	punches.Wait()
	for _, err := range errs[:begun] {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// punchPair punches between two interfaces, round after round.
func (c *call) punchPair(ctx context.Context, p pair) error {
	m, err := punch.Choose(c.node.side(p.ours), sideOf(p.theirs))
	if err != nil {
		return err
	}
	switch {
	case m.Method == punch.Inward && !m.Caller.Dial && c.allows(Reverse), m.Method == punch.Inward && !m.Callee.Dial && c.allows(Direct):
		return notTried("one side is open, so a plain dial must do")
	case m.Method == punch.ByBirthday && c.node.cfg.Birthday == reflector.BirthdayNever:
		return notTried("a birthday punch is needed, and --birthday says never")
	}
	brokers, err := c.joined()
	if err != nil {
		return err
	}
	rounds := standingRounds
	if m.Caller.Probe || m.Callee.Probe {
		rounds = predictedRounds
	}
	first := 0
	if rounds == standingRounds && c.lessons.anewFirst(p, m.Method) {
		first = 1
	}
	hedged := rounds == standingRounds // by the round that follows
	for k := 0; k < rounds; {
		r := round{number: (first + k) % rounds, brief: hedged && k < rounds-1}
		c.lessons.tryPunch(p, m.Method, r.number > 0)
		err = c.punchRound(ctx, r, p, m, brokers)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case unheard(err) && time.Since(c.begun) < signalPatience:
			// The peer has not taken part yet, so this was no round. Its signals
			// are slow, and are given time.
			hedged = false
		case final(err):
			return err
		default:
			k++
		}
		c.noteError(Punch, "", err)
	}
	return &HopelessError{Rounds: rounds, Last: err}
}

func (c *call) punchRound(ctx context.Context, r round, p pair, m punch.Meeting, brokers []address.Broker) error {
	end, err := c.node.preparePunch(ctx, p.ours, needsOf(m.Caller, r.number, spread, p.theirs.ExternalEndpoint()))
	if err != nil {
		return err
	}
	defer end.release()
	c.note(Punch, "%s, %s: from %v, seen as %v", m.Method, m.Why, end.local[0], end.external[0])
	oneWay := c.node.oneWay(brokers, p.theirs.BrokerRTT)
	ctx, cancel := context.WithTimeout(ctx, r.limit(m, oneWay))
	defer cancel()
	msg := signaling.Message{Kind: signaling.KindPunch, Attempt: c.id, Punch: &signaling.Punch{
		Secret: c.secret, Role: roleOf(m.Callee), Round: r.number, From: end.external, At: p.theirs.ExternalEndpoint(),
		Fire: m.Wait(m.Callee, oneWay, false).Milliseconds(),
	}}
	if m.Callee.Probe || r.number > 0 {
		return c.punchAfterAnswer(ctx, m, end, brokers, msg, oneWay)
	}
	msg.Punch.To = []netip.AddrPort{p.theirs.ExternalEndpoint()}
	return c.punchAtOnce(ctx, m, end, brokers, msg, oneWay)
}

// punchAtOnce needs one message: the peer's mapping stands in its address. If
// that turns out to be stale, the peer answers with the present one.
func (c *call) punchAtOnce(ctx context.Context, m punch.Meeting, end *endpoint, brokers []address.Broker, msg signaling.Message, oneWay time.Duration) error {
	asking, done := context.WithCancel(ctx)
	first, outdated := context.WithCancel(ctx)
	var answer signaling.Answer
	var told error
	var asked sync.WaitGroup
	defer asked.Wait()
	defer done()
	asked.Go(func() {
		answer, told = c.ask(asking, brokers, msg)
		if told == nil || errors.Is(told, signaling.ErrRefused) {
			outdated() // the first plan holds no more, or was refused
		}
	})
	defer outdated()
	err := c.carryOut(first, end.plan(m, m.Caller, msg.Punch.To, m.Wait(m.Caller, oneWay, true), oneWay))
	if err == nil {
		return nil
	}
	asked.Wait() // where we could not even dial, the peer's answer is worth the wait
	switch {
	case told == nil:
		return c.punchToward(ctx, m, end, answer, oneWay)
	case errors.Is(told, signaling.ErrRefused), errors.Is(told, signaling.ErrNoBroker), unheard(told):
		return told
	}
	return err // the peer knew, and still there was no way through
}

// unheard reports whether a message was not even acknowledged.
func unheard(err error) bool {
	var e *signaling.NoAnswerError
	return errors.As(err, &e) && !e.Acked
}

// punchAfterAnswer needs two messages: the peer must look its mapping up.
func (c *call) punchAfterAnswer(ctx context.Context, m punch.Meeting, end *endpoint, brokers []address.Broker, msg signaling.Message, oneWay time.Duration) error {
	answer, err := c.ask(ctx, brokers, msg)
	if err != nil {
		var none *signaling.NoAnswerError
		if errors.As(err, &none) && none.Acked {
			return fmt.Errorf("the peer has not told its mapping: %w", context.DeadlineExceeded) // worth another round
		}
		return err
	}
	return c.punchToward(ctx, m, end, answer, oneWay)
}

// punchToward carries out our part towards the mapping that the peer told.
func (c *call) punchToward(ctx context.Context, m punch.Meeting, end *endpoint, answer signaling.Answer, oneWay time.Duration) error {
	told := answer.Message.Punch
	if told == nil || len(told.From) == 0 {
		return fmt.Errorf("the peer answered with a %s", answer.Message.Kind)
	}
	c.note(Punch, "the peer is seen as %v", told.From[0])
	wait := time.Duration(told.Fire)*time.Millisecond - time.Since(answer.At)
	return c.carryOut(ctx, end.plan(m, m.Caller, told.From, max(wait, 0), oneWay))
}

// carryOut opens until the round is over; a proof that has begun by then may
// last as long as the call.
func (c *call) carryOut(ctx context.Context, plan punch.Plan) error {
	c.note(Punch, "%s", plan)
	plan.Begun = c.opened
	return punch.Open(ctx, plan, func(_ context.Context, conn punch.Connection) error {
		if conn.Accepted {
			c.node.welcome(conn.Conn)
			return errors.New("handed to the listener")
		}
		return c.prove(c.ctx, Punch, conn.Conn)
	})
}

func (c *call) allows(s Strategy) bool { return slices.Contains(c.by, s) }

func roleOf(a punch.Action) signaling.Role {
	if a.Prime {
		return signaling.RolePrimer
	}
	return signaling.RoleDialer
}

// sideOf reads from an address what the planner wants to know of the peer. The
// mapping in an address stands wherever it does not depend on who looks.
func sideOf(i address.Interface) punch.Side {
	return punch.Side{NAT: i.NAT, Delta: i.Delta, Standing: i.NAT != nat.Symmetric && i.NAT != nat.Blocked, Clocked: i.BrokerRTT > 0}
}

// side is the same for an interface of our own, of which we know more.
func (n *Node) side(i address.Interface) punch.Side {
	s := sideOf(i)
	r := n.around.report(n.around.local(i.Index))
	s.Standing = s.Standing && (r.Warm.IsValid() || !i.NAT.Translates())
	if punch.CanPrime {
		s.Depth = r.Depth
	}
	return s
}

// oneWay estimates the delay to a peer through the broker that is nearest to
// both: half of the two round trips to it.
func (n *Node) oneWay(brokers []address.Broker, theirs time.Duration) time.Duration {
	var ours time.Duration
	for _, b := range brokers {
		if rtt := n.channel.RTT(b); rtt > 0 && (ours == 0 || rtt < ours) {
			ours = rtt
		}
	}
	switch {
	case ours == 0 && theirs == 0:
		return unknownOneWay
	case theirs == 0:
		return ours
	case ours == 0:
		return theirs
	}
	return (ours + theirs) / 2
}
