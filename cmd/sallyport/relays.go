package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/circuit"
)

// relayingFlags say for whom a node relays.
type relayingFlags struct {
	who  string
	rate int64
}

func (f *relayingFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.who, "relay-for", "nobody", "who may reach others through this node, and be reached through it, where nothing else works: `WHO` as with --allow; it need not be in --allow, and those named may have this node call others")
	c.Flags().Int64Var(&f.rate, "relay-rate", circuit.Limits{}.WithDefaults().Rate, "relay at most `N` bytes a second for one connection, both ways together")
}

// relaying makes the flags into what a node wants.
func (f *relayingFlags) relaying() (node.Relaying, error) {
	admission, err := parseWho("--relay-for", f.who)
	if err != nil {
		return node.Relaying{}, err
	}
	if f.rate <= 0 {
		return node.Relaying{}, misused("try --relay-rate 4194304", "a --relay-rate of %d leaves nothing to relay", f.rate)
	}
	return node.Relaying{For: admission, Limits: circuit.Limits{Rate: f.rate}}, nil
}

// flag is with what others have this node relay; "" where it does not.
func (f *relayingFlags) flag(self string) string {
	if r, err := f.relaying(); err != nil || r.For.IsZero() {
		return ""
	}
	return "--relay " + self
}

// checkRelays finds what is wrong with the nodes that are to relay before anything
// is looked up.
func (f *nodeFlags) checkRelays() error {
	if len(f.relays) > node.MaxRelayNodes {
		return misused("leave some --relay out", "--relay names %d nodes, of %d at most", len(f.relays), node.MaxRelayNodes)
	}
	return nil
}

// relayNodes finds the nodes that are to relay. One that cannot be looked up is
// done without: it is for what works by no other way.
func (a *app) relayNodes(ctx context.Context, f *nodeFlags) ([]address.Address, error) {
	if len(f.relays) == 0 {
		return nil, nil
	}
	r, err := a.resolver(f)
	if err != nil {
		return nil, err
	}
	var nodes []address.Address
	for _, target := range f.relays {
		stop := a.tellIdle(fmt.Sprintf("Still looking for %q, which is to relay.", target))
		found, err := r.Resolve(ctx, target)
		stop()
		if err == nil {
			if found.Address.Foreign != "" {
				return nil, misused("ask for its Sallyport address", "--relay: %v", &node.ErrForeign{ID: found.Address.Foreign})
			}
			a.tellResolved(found)
			nodes = append(nodes, found.Address)
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		why := explain(unknownTarget(target, err))
		if why.status == statusMisused {
			return nil, misused(why.hint, "--relay: %s", why.what)
		}
		a.say("Warning: %q, which is to relay, is not found: %s.", target, why.what)
	}
	return nodes, nil
}

// circuitEvent is a circuit that the node relays, when it begins and when it ends.
type circuitEvent struct {
	Event   string  `json:"event"`
	Circuit int     `json:"circuit"`
	Caller  string  `json:"caller"`
	Callee  string  `json:"callee"`
	MS      float64 `json:"ms,omitempty"`
	There   uint64  `json:"there,omitempty"` // bytes from the caller to the callee
	Back    uint64  `json:"back,omitempty"`  // bytes
	Error   string  `json:"error,omitempty"`
}

// tellCircuits tells of the circuits that the node relays, until the notices end.
func (n *nodeCommand) tellCircuits(notices <-chan node.Notice) {
	for notice := range notices {
		switch c := notice.What.(type) {
		case node.CircuitBegun:
			if n.json {
				emit(n.out, circuitEvent{Event: "circuit", Circuit: c.Circuit, Caller: c.Caller.String(), Callee: c.Callee.String()})
			}
			n.say("Relaying from %s to %s.", c.Caller.Short(), c.Callee.Short())
		case node.CircuitEnded:
			e := circuitEvent{"circuit_ended", c.Circuit, c.Caller.String(), c.Callee.String(), milliseconds(c.Took), c.There, c.Back, ""}
			why := ""
			if c.Err != nil {
				e.Error = pipe.Plainly(c.Err)
				why = ": " + e.Error
			}
			if n.json {
				emit(n.out, e)
			}
			n.say("Relayed from %s to %s for %v; %s there, %s back%s.", c.Caller.Short(), c.Callee.Short(),
				c.Took.Round(time.Millisecond), megabytes(int64(c.There)), megabytes(int64(c.Back)), why)
		}
	}
}
