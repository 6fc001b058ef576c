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
	err := n.come(ctx, plain, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		var failed error
		hosted := make(chan struct{})
		go func() { failed = n.host(ctx, in); close(hosted) }()
		defer func() { cancel(); <-hosted }()
		head := time.NewTimer(detourAfter)
		defer head.Stop()
		select {
		case <-head.C:
		case <-hosted:
		case <-ctx.Done():
		}
		if lent {
			conn, err := n.borrow(ctx, permit, m.Loan, m.Dial[0])
			if err == nil {
				err = n.show(ctx, relayed{conn}, token)
			}
			if err == nil {
				return nil
			}
			n.log.Info("lent relay of no use", "peer", in.From.Short(), "error", err)
		}
		<-hosted
		return failed
	})
	if err != nil && ctx.Err() == nil {
		n.log.Info("not met at a relay", "peer", in.From.Short(), "error", err)
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
	peers := externals(in.Message.From)
	for _, d := range in.Message.Relay.Dial { // the sender may come from the relay where it is
		peers = append(peers, d.Addr())
	}
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
