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
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

// handle does what a signal from an admitted sender asks for. What it does is
// vetted first, since anyone can sign a victim's address as its own, and the
// outcome is never reported.
func (n *Node) handle(ctx context.Context, in signaling.In) {
	m := in.Message
	ctx, done := n.answers.work(ctx, in.From, m.Attempt)
	defer done()
	switch m.Kind {
	case signaling.KindDirect:
		n.answerDirect(ctx, in)
	case signaling.KindRelay:
		n.answerRelay(ctx, in)
	case signaling.KindPunch:
		n.answerPunch(ctx, in)
	default:
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedUnsupported, "")
	}
}

// permit vets the destinations that a signal asks for.
func (n *Node) permit(in signaling.In, dest []netip.AddrPort) *reflector.Permit {
	p := n.reflect.Vet(n.cfg.Now(), reflector.Request{
		Level: in.Level, Self: n.Address(), Peer: in.Message.From, Dest: dest,
	})
	for _, r := range p.Refused {
		n.log.Info("not dialled", "peer", in.From.Short(), "destination", r.Dest, "why", r.Why)
	}
	return p
}

// establishedCost is what a connection may send before it is proven: ACK,
// token, ACK, RST.
const establishedCost = 4

// answerDirect answers a P2P_DIRECT: it dials the sender.
func (n *Node) answerDirect(ctx context.Context, in signaling.In) {
	m := in.Message
	permit := n.permit(in, m.Direct.Dial)
	token := link.NewToken(m.Direct.Secret, m.Attempt, in.From, n.ID())
	_ = n.dialBack(ctx, permit, permit.Dest, 0, token, true)
}

var errNotPermitted = errors.New("nothing may be dialled")

// dialBack dials the sender of a signal, or where a relay leads to the sender,
// and shows the token. Of the packets that the message may cost, reserve are
// left for something else.
func (n *Node) dialBack(ctx context.Context, permit *reflector.Permit, dest []netip.AddrPort, reserve int, token link.Token, itself bool) error {
	lasts := directTimeout
	if left := permit.Left() - reserve; permit.Left() >= 0 && len(dest) > 0 {
		// What an accepting host costs is counted in advance.
		dest = dest[:min(len(dest), max(left, 0)/(establishedCost+1))]
		if len(dest) > 0 {
			lasts = min(lasts, reflector.Lasts(left/len(dest)-establishedCost))
		}
	}
	if len(dest) == 0 {
		return errNotPermitted
	}
	errs := make([]error, len(dest))
	var dials sync.WaitGroup
	for k, d := range dest {
		dials.Go(func() {
			if !pause(ctx, time.Duration(k)*stagger) {
				errs[k] = ctx.Err()
				return
			}
			limit := permit.Connect(n.cfg.Now(), d, lasts)
			if limit <= 0 {
				errs[k] = errNotPermitted
				return
			}
			dialing, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			conn, err := coldDialer().DialContext(dialing, "tcp", d.String())
			if err != nil {
				errs[k] = err
				return
			}
			if !itself {
				conn = relayed{conn}
			}
			errs[k] = n.show(ctx, conn, token)
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

// show writes the token to a connection that we dialled as the callee, and
// serves the caller's handshake.
func (n *Node) show(ctx context.Context, conn net.Conn, token link.Token) error {
	reset(conn)
	if _, err := conn.Write(token[:]); err != nil {
		_ = conn.Close()
		return err
	}
	return n.prove(ctx, conn)
}

// answerPunch answers a P2P_PUNCH: it finds our end, tells our mapping where
// the sender does not know it, and opens.
func (n *Node) answerPunch(ctx context.Context, in signaling.In) {
	m, p := in.Message, in.Message.Punch
	permit := n.permit(in, p.From)
	if len(permit.Dest) == 0 {
		return
	}
	ours, ok := interfaceAt(n.Address(), p.At)
	if !ok {
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedImpossible, "no address of that family here")
		return
	}
	theirs := interfaceOf(m.From, p.From[0].Addr())
	meeting, err := punch.Choose(sideOf(theirs), n.side(ours))
	if err != nil {
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedImpossible, err.Error())
		return
	}
	if meeting.Method == punch.ByBirthday && !permit.Birthday {
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedImpossible, "a birthday punch is for listed peers only: see --birthday and --allow")
		return
	}
	oneWay := n.oneWay([]address.Broker{in.Broker}, theirs.BrokerRTT)
	lasts := punchTimeout
	if meeting.Caller.Probe || meeting.Callee.Probe {
		// A prediction is right or not. Whoever goes on dialling for a round that
		// the caller has given up takes the ports that the next one counts on.
		lasts = round{number: p.Round}.limit(meeting, oneWay)
		var done func()
		ctx, done = n.answers.round(ctx, punched{attempt{in.From, m.Attempt}, p.At.Addr().Is6()}, p.Round)
		defer done()
	}
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	most := spread
	if permit.Left() >= 0 {
		most = frugalSpread
	}
	end, err := n.preparePunch(ctx, ours, needsOf(meeting.Callee, p.Round, most, permit.Dest...))
	if err != nil {
		n.log.Info("punch not prepared", "peer", in.From.Short(), "error", err)
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedBusy, "no mapping could be looked up")
		return
	}
	defer end.release()
	wait := time.Duration(p.Fire)*time.Millisecond - time.Since(in.At)
	if !slices.Contains(p.To, end.external[0]) {
		wait = meeting.Wait(meeting.Callee, oneWay, true)
		err := n.exchange.Reply(ctx, in, signaling.Message{
			Kind: signaling.KindPunch, Attempt: m.Attempt, Punch: &signaling.Punch{
				Secret: p.Secret, Role: roleOf(meeting.Caller), Round: p.Round, From: end.external, To: p.From, At: p.From[0],
				Fire: meeting.Wait(meeting.Caller, oneWay, false).Milliseconds(),
			},
		})
		if err != nil {
			n.log.Info("punch not answered", "peer", in.From.Short(), "error", err)
			return
		}
	}
	plan := end.plan(meeting, meeting.Callee, permit.Dest, max(wait, 0), oneWay)
	if meeting.Method != punch.ByBirthday {
		plan.Packets = max(permit.Left(), 0)
	}
	plan.Allow = func(remote netip.AddrPort, packets int) bool { return permit.Spend(n.cfg.Now(), remote, packets) }
	n.log.Info("punch", "peer", in.From.Short(), "plan", plan.String())
	token := link.NewToken(p.Secret, m.Attempt, in.From, n.ID())
	err = punch.Open(ctx, plan, func(ctx context.Context, c punch.Connection) error {
		if c.Accepted {
			n.welcome(c.Conn)
			return errors.New("handed to the listener")
		}
		return n.show(ctx, c.Conn, token)
	})
	n.log.Info("punch ended", "peer", in.From.Short(), "error", err)
}

// interfaceAt finds the interface of ours that the peer means: the one with
// that external endpoint, else with that external address, else the first of
// the family.
func interfaceAt(self address.Address, at netip.AddrPort) (address.Interface, bool) {
	family := self.V4
	if at.Addr().Is6() {
		family = self.V6
	}
	for _, same := range []func(address.Interface) bool{
		func(i address.Interface) bool { return i.ExternalEndpoint() == at },
		func(i address.Interface) bool { return i.External == at.Addr() },
		func(address.Interface) bool { return true },
	} {
		if k := slices.IndexFunc(family, same); k >= 0 {
			return family[k], true
		}
	}
	return address.Interface{}, false
}

// interfaceOf finds the sender's interface with that external address. Where
// the sender's address does not hold it, the commonest kind of NAT is assumed.
func interfaceOf(peer address.Address, external netip.Addr) address.Interface {
	for _, i := range peer.Interfaces() {
		if i.External == external {
			return i
		}
	}
	return address.Interface{External: external, NAT: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal}}
}
