package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// circuitTimeout bounds the attempt to meet a peer at nodes that relay: the
	// signal, the call of the node, and its call of the peer.
	circuitTimeout = 12 * time.Second
	// theirsAfter is how long our nodes that relay have before the peer is asked
	// for its own, and nextAfter how long each has before the next one is tried.
	theirsAfter, nextAfter = 2 * time.Second, 1500 * time.Millisecond
)

var (
	errNowhere = notTried("no relay is configured, neither here nor there")
	errUnnamed = errors.New("the peer names no node that relays")
	errNotOurs = errors.New("the peer takes none of the nodes that relay for us")
)

// RelayNodeError is a node that was to relay, and did not. What it met there is
// no error of the peer's, and is not unwrapped.
type RelayNodeError struct {
	Node address.Key
	Err  error
}

func (e *RelayNodeError) Error() string { return fmt.Sprintf("by node %s: %v", e.Node.Short(), e.Err) }

// Hint is the one change that would help.
func (e *RelayNodeError) Hint() string {
	var no *circuit.Error
	if errors.As(e.Err, &no) {
		return no.Hint()
	}
	return "check that the node named with --relay runs, and relays for this one"
}

// anyRelay meets the peer at a server or at a node that relays, whichever gets
// there first.
func (c *call) anyRelay(ctx context.Context, brokers []address.Broker) (*link.Link, error) {
	l, errs := firstOf(ctx, 0,
		func(ctx context.Context) (*link.Link, error) { return c.atServer(ctx, brokers) },
		func(ctx context.Context) (*link.Link, error) { return c.byNodes(ctx, brokers) },
	)
	if l != nil {
		return l, nil
	}
	return nil, telling(errs)
}

// telling joins errors, without those that say nothing beside others.
func telling(errs []error) error {
	var list []error
	for _, err := range errs {
		if err != errNowhere && !slices.ContainsFunc(list, func(o error) bool { return o.Error() == err.Error() }) {
			list = append(list, err)
		}
	}
	switch len(list) {
	case 0:
		return errNowhere
	case 1:
		return list[0]
	}
	return errors.Join(list...)
}

// byNodes meets the peer at a node that relays for us, or for the peer.
func (c *call) byNodes(ctx context.Context, brokers []address.Broker) (*link.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, circuitTimeout)
	defer cancel()
	var tries []func(context.Context) (*link.Link, error)
	if ours := c.node.relayNodes(c.peer.Key); len(ours) > 0 {
		tries = append(tries, func(ctx context.Context) (*link.Link, error) {
			taken, err := c.propose(ctx, brokers, ours)
			if err != nil {
				return nil, err
			}
			return c.through(ctx, taken)
		})
	}
	tries = append(tries, func(ctx context.Context) (*link.Link, error) {
		theirs, err := c.propose(ctx, brokers, nil)
		if err != nil {
			return nil, err
		}
		return c.through(ctx, theirs)
	})
	l, errs := firstOf(ctx, theirsAfter, tries...)
	if l != nil {
		return l, nil
	}
	return nil, telling(errs)
}

// relayNodes are those that may relay between us and a peer.
func (n *Node) relayNodes(peer address.Key) []address.Address {
	return slices.DeleteFunc(slices.Clone(n.cfg.RelayNodes), func(a address.Address) bool { return a.Key == peer || a.Key == n.ID() })
}

// propose asks the peer to let us be brought by one of the nodes given, and
// gives those that it agrees to; without any, it asks for nodes of the peer's.
func (c *call) propose(ctx context.Context, brokers []address.Broker, ours []address.Address) ([]address.Address, error) {
	asking, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	answer, err := c.ask(asking, brokers, signaling.Message{
		Kind: signaling.KindRelay, Attempt: c.id, Relay: &signaling.Relay{Secret: c.secret, By: introduced(ours)},
	})
	var no *signaling.RefusedError
	switch {
	case errors.As(err, &no) && no.Reason == signaling.RefusedImpossible && ours == nil:
		return nil, errNowhere
	case err != nil:
		return nil, err
	case answer.Message.Relay == nil || len(answer.Message.Relay.By) == 0:
		return nil, errUnnamed
	}
	named := met(answer.Message.Relay.By, append(slices.Clone(brokers), c.node.cfg.Brokers...))
	if ours == nil {
		return slices.DeleteFunc(named, func(a address.Address) bool { return a.Key == c.peer.Key || a.Key == c.node.ID() }), nil
	}
	var taken []address.Address
	for _, a := range named { // in the order in which the peer would have them
		if k := slices.IndexFunc(ours, func(b address.Address) bool { return a.Key == b.Key }); k >= 0 {
			taken = append(taken, ours[k])
		}
	}
	if len(taken) == 0 {
		return nil, errNotOurs
	}
	return taken, nil
}

// met gives the nodes that a peer has named as we are to call them: on brokers of
// the well-known list and such as we have a reason of our own to be on. A peer's
// word alone opens a connection to no broker.
func met(named []address.Address, known []address.Broker) []address.Address {
	list := slices.Clone(named)
	for k, a := range list {
		list[k].Brokers = slices.DeleteFunc(slices.Clone(a.Brokers), func(b address.Broker) bool { return b.URL != "" && !slices.Contains(known, b) })
		if len(a.Brokers) > 0 && len(list[k].Brokers) == 0 {
			list[k].Brokers = slices.Clone(known[:min(len(known), address.MaxBrokers)])
		}
	}
	return list
}

// introduced are nodes as others are told of them: where they are is for them to
// say. It is never nil.
func introduced(nodes []address.Address) []address.Address {
	list := []address.Address{}
	for _, a := range nodes {
		list = append(list, address.Address{Brokers: a.Brokers, Key: a.Key})
	}
	return list
}

// through meets the peer over a circuit through one of the nodes.
func (c *call) through(ctx context.Context, nodes []address.Address) (*link.Link, error) {
	if len(nodes) == 0 {
		return nil, errUnnamed
	}
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b address.Address) int { return c.node.ailing(a.Key) - c.node.ailing(b.Key) })
	var tries []func(context.Context) (*link.Link, error)
	for _, a := range nodes {
		tries = append(tries, func(ctx context.Context) (*link.Link, error) {
			l, err := c.throughNode(ctx, a)
			if err != nil {
				err = &RelayNodeError{a.Key, err}
				c.noteError(Relay, "", err)
			}
			return l, err
		})
	}
	l, errs := firstOf(ctx, nextAfter, tries...)
	if l != nil {
		return l, nil
	}
	return nil, telling(errs)
}

// ailing is 1 where a session with a node has lost its path, so that others are
// tried before: the circuits through it have as well. Else it is 0.
func (n *Node) ailing(peer address.Key) int {
	return min(1, len(n.sessions.all(func(s *session.Session) bool { return s.Peer() == peer && s.Needs() })))
}

func (c *call) throughNode(ctx context.Context, relay address.Address) (*link.Link, error) {
	c.note(Relay, "going there by node %s", relay.Key.Short())
	conn, err := c.node.open(ctx, relay, session.Circuit)
	if err != nil {
		return nil, err
	}
	if err := circuit.Ask(ctx, conn.Stream, circuit.Request{Op: circuit.To, Node: c.peer.Key, Address: c.peer}); err != nil {
		_ = conn.Reset()
		return nil, err
	}
	c.note(Relay, "node %s leads to the peer", relay.Key.Short())
	return c.proof(ctx, Relay, relayed{circuit.NewConn(conn.Stream, relay.Key, nil)})
}
