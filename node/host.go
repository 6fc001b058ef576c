package node

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

// maxHosted is for how many callers at once we hold an endpoint at a relay of
// ours open.
const maxHosted = 8

// answerRelay answers a P2P_RELAY: it goes to where a relay leads to the
// sender, or has the sender come to us at a relay of ours.
func (n *Node) answerRelay(ctx context.Context, in signaling.In) {
	if n.admission().Level(in.From) == signaling.Stranger { // circuits are all that it may have
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedPolicy, "")
		return
	}
	if in.Message.Relay.By != nil {
		n.answerCircuit(ctx, in)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	m := in.Message.Relay
	if len(m.Dial) == 0 {
		if err := n.host(ctx, in); err != nil {
			n.log.Info("no relay of ours", "peer", in.From.Short(), "error", err)
			_ = n.exchange.Refuse(ctx, in, signaling.RefusedImpossible, "no relay here")
		}
		return
	}
	asked := m.Dial
	if m.Loan != nil {
		asked = append(slices.Clone(asked), m.Loan.At)
	}
	permit := n.permit(in, asked)
	lent := m.Loan != nil && slices.Contains(permit.Dest, m.Loan.At)
	dest, reserve := permit.Dest, 0
	if lent {
		dest = slices.DeleteFunc(slices.Clone(dest), func(d netip.AddrPort) bool { return d == m.Loan.At && !slices.Contains(m.Dial, d) })
		reserve = 2 * loanSYNs
	}
	token := link.NewToken(m.Secret, in.Message.Attempt, in.From, n.ID())
	plain := func(ctx context.Context) error { return n.dialBack(ctx, permit, dest, reserve, token, false) }
	err := n.come(ctx, plain, func(ctx context.Context) error { return n.roundabout(ctx, in, permit, lent, token) })
	if err != nil && ctx.Err() == nil {
		n.log.Info("not met at a relay", "peer", in.From.Short(), "error", err)
	}
}

// roundabout meets a sender to whose endpoint we get by no plain dial: the
// sender comes to us at a relay of ours, or we go there by the relay that is
// lent, or have our own connect with it.
func (n *Node) roundabout(ctx context.Context, in signaling.In, permit *reflector.Permit, lent bool, token link.Token) error {
	m, confined := in.Message.Relay, n.confined()
	ctx, cancel := context.WithCancel(ctx)
	var failed error
	hosted := make(chan struct{})
	go func() { failed = n.host(ctx, in); close(hosted) }()
	defer func() { cancel(); <-hosted }()
	met := func(how string, conn *relay.Conn, err error) bool {
		if err == nil {
			err = n.show(ctx, relayed{conn}, token)
		}
		if err != nil {
			n.log.Info(how+" of no use", "peer", in.From.Short(), "error", err)
		}
		return err == nil
	}
	begun := time.Now()
	if lent && (confined || pauseUntil(ctx, hosted, detourAfter)) {
		conn, err := n.borrow(ctx, permit, m.Loan, m.Dial[0])
		if met("lent relay", conn, err) {
			return nil
		}
	}
	// By now the sender has heard of our endpoint, and lets its relay in.
	pauseUntil(ctx, hosted, time.Until(begun.Add(detourAfter)))
	for _, place := range n.cfg.Relays {
		limit := permit.Connect(n.cfg.Now(), m.Dial[0], reflector.Lasts(plainSYNs))
		if limit <= 0 || isOver(hosted) {
			break
		}
		conn, err := n.goRound(ctx, place, limit, m.Dial[0])
		if met("our relay", conn, err) {
			return nil
		}
	}
	if !lent && len(n.cfg.Relays) == 0 && confined && pause(ctx, time.Until(begun.Add(strandedAfter))) {
		// It leaves at that time whatever the plain dial has met, unless that was
		// the sender: there is nothing to scan with.
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedImpossible, "no way out to that relay, and no relay here")
	}
	<-hosted
	return failed
}

func isOver(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

var (
	errNoRelay    = errors.New("no relay is configured")
	errHostsMany  = errors.New("too many callers at relays of ours")
	errNotVisited = errors.New("nobody came")
)

// host holds an endpoint at a relay of ours open until ctx ends, tells the
// sender of it, and takes who comes as the listener would.
func (n *Node) host(ctx context.Context, in signaling.In) error {
	if len(n.cfg.Relays) == 0 {
		return errNoRelay
	}
	select {
	case n.hosting <- struct{}{}:
		defer func() { <-n.hosting }()
	default:
		return errHostsMany
	}
	// The sender may come from the relay where it is.
	peers := append(externals(in.Message.From), addrsOf(in.Message.Relay.Dial)...)
	a, err := n.allocate(ctx, peers, func(string, ...any) {})
	if err != nil {
		return err
	}
	defer a.Retire()
	// Whoever is admitted as everyone is gets no key to our relay.
	err = n.exchange.Reply(ctx, in, signaling.Message{
		Kind: signaling.KindRelay, Attempt: in.Message.Attempt,
		Relay: invitation(in.Message.Relay.Secret, a, in.From, in.Level == signaling.Listed),
	})
	if err != nil {
		return err
	}
	for range maxRelayed {
		conn, err := a.Accept(ctx)
		if err != nil {
			var e *relay.Error
			if ctx.Err() != nil && errors.As(err, &e) {
				return errNotVisited
			}
			return err
		}
		n.welcome(relayed{conn})
	}
	<-ctx.Done()
	return errNotVisited
}
