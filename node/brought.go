package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

// reachTimeout is how long a callee takes to reach a node that relays for it. The
// caller waits for hostTimeout, and what is left of that is for signals that are
// slow or lost.
const reachTimeout = 3500 * time.Millisecond

// answerCircuit answers a P2P_RELAY that is about nodes that relay: it lets the
// sender be brought by those that the sender names, or by one of ours, which is
// told of the sender. Nobody is called but nodes of ours, whatever the sender
// names.
func (n *Node) answerCircuit(ctx context.Context, in signaling.In) {
	ctx, cancel := context.WithTimeout(ctx, circuitTimeout)
	defer cancel()
	asked := in.Message.Relay.By
	ours := n.relayNodes(in.From)
	if len(asked) > 0 {
		ours = slices.DeleteFunc(ours, func(a address.Address) bool { return !names(asked, a.Key) })
	}
	var by []address.Address
	reached := false
	if len(ours) > 0 {
		at, leave, err := n.beAwaited(ctx, ours, in.From, in.Level)
		switch {
		case err == nil:
			defer leave()
			by, reached = append(by, at), true
		case errors.Is(err, errHostsMany) && len(asked) == 0:
			_ = n.exchange.Refuse(ctx, in, signaling.RefusedBusy, "")
			return
		default:
			n.log.Info("no node of ours relays", "peer", in.From.Short(), "error", err)
		}
	}
	for _, a := range asked {
		if a.Key != n.ID() && a.Key != in.From && !names(by, a.Key) {
			by = append(by, a)
		}
	}
	if len(by) == 0 {
		if len(ours) > 0 {
			_ = n.exchange.Refuse(ctx, in, signaling.RefusedUnreached, "the node that relays for it is not reached")
			return
		}
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedImpossible, "no node relays here")
		return
	}
	var keys []address.Key
	for _, a := range by {
		keys = append(keys, a.Key)
	}
	if !n.circuits.expect(time.Now(), in.From, in.Level, keys) {
		_ = n.exchange.Refuse(ctx, in, signaling.RefusedBusy, "")
		return
	}
	err := n.exchange.Reply(ctx, in, signaling.Message{
		Kind: signaling.KindRelay, Attempt: in.Message.Attempt,
		Relay: &signaling.Relay{Secret: in.Message.Relay.Secret, By: introduced(by)},
	})
	if err != nil || !reached {
		return
	}
	<-ctx.Done() // until then, our node knows the sender
}

func names(list []address.Address, k address.Key) bool {
	return slices.ContainsFunc(list, func(a address.Address) bool { return a.Key == k })
}

// awaiting is a stream that announces a caller to a node that relays for us.
type awaiting struct {
	*session.Stream
	at address.Address
}

// beAwaited tells one of the nodes that relay for us of a caller, who may come
// there until leave is called.
func (n *Node) beAwaited(ctx context.Context, nodes []address.Address, caller address.Key, level signaling.Level) (at address.Address, leave func(), err error) {
	// Who is admitted only as everyone is leaves some places to the others.
	if level != signaling.Listed && len(n.hosting) >= maxHosted*3/4 {
		return at, nil, errHostsMany
	}
	select {
	case n.hosting <- struct{}{}:
	default:
		return at, nil, errHostsMany
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var tries []func(context.Context) (*awaiting, error)
	for _, a := range nodes {
		tries = append(tries, func(ctx context.Context) (*awaiting, error) {
			conn, err := n.open(ctx, a, session.Circuit)
			if err != nil {
				return nil, &RelayNodeError{Node: a.Key, Err: err}
			}
			if err := circuit.Ask(ctx, conn.Stream, circuit.Request{Op: circuit.Await, Node: caller}); err != nil {
				_ = conn.Close()
				return nil, &RelayNodeError{Node: a.Key, Err: err}
			}
			return &awaiting{conn.Stream, a}, nil
		})
	}
	w, errs := firstOf(ctx, nextAfter, tries...)
	if w == nil {
		<-n.hosting
		return at, nil, errors.Join(errs...)
	}
	return w.at, func() { _ = w.Close(); <-n.hosting }, nil
}

// arrive takes a caller whom a node brings over the stream t.
func (n *Node) arrive(t *session.Stream, caller address.Key) {
	if !n.circuits.expects(time.Now(), caller, t.Peer()) || n.admission().Level(caller) == signaling.Stranger {
		n.log.Info("a caller that nobody announced", "by", t.Peer().Short(), "peer", caller.Short())
		_ = circuit.Answer(t, circuit.Refused)
		_ = t.Close()
		return
	}
	done := n.circuits.run(t.Peer())
	if err := circuit.Answer(t, circuit.Joined); err != nil {
		done()
		_ = t.Reset()
		return
	}
	n.welcome(relayed{circuit.NewConn(t, t.Peer(), done)})
}
