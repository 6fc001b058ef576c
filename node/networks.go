package node

import (
	"context"
	"slices"

	"github.com/sallyport-net/sallyport/node/netwatch"
)

// watchNetworks follows the machine from network to network until the node
// ends.
func (n *Node) watchNetworks() {
	ignore := func(link string) bool { return virtual(link) && !slices.Contains(n.cfg.Interfaces, link) }
	netwatch.Watch(n.ctx, netwatch.Config{Ignore: ignore}, n.networksMayDiffer)
}

// networksMayDiffer looks at the machine's addresses. Where they have changed,
// or where the system says that something else has, such as the router, what
// hung on a network that is gone ends: addresses that the machine has no more,
// brokers' connections that nothing comes from, and the question that is being
// asked about the mapping, which is asked anew.
func (n *Node) networksMayDiffer(e netwatch.Event) {
	if !n.relocate() && e == netwatch.Look {
		return
	}
	n.log.Info("the networks may have changed", "why", e.String())
	n.warm.dropGone()
	n.channel.Wake()
	n.shaken.ring()
	n.nearby.look()
	n.checkSessions()
	n.asking.Lock()
	defer n.asking.Unlock()
	put(n.changed)
	if n.question != nil {
		n.question()
	}
}

// relocate takes the machine's addresses over, and reports whether they are
// others than before.
func (n *Node) relocate() bool {
	list, err := places(n.cfg.Interfaces)
	if err != nil {
		n.log.Debug("the machine's addresses are not to be had", "error", err)
		return false // an interface that was named has gone: it may come back
	}
	fresh, changed := n.around.move(list)
	if changed {
		n.openDoors()
		n.log.Info("the machine's addresses have changed", "places", len(list), "new", fresh)
	}
	return changed
}

// untilChanged is for a question about the networks, of which there is one at a
// time: its context ends with them, or by end.
func (n *Node) untilChanged() (ctx context.Context, end context.CancelFunc) {
	ctx, end = context.WithCancel(n.ctx)
	n.asking.Lock()
	defer n.asking.Unlock()
	n.question = end
	if len(n.changed) > 0 { // meanwhile
		end()
	}
	return ctx, end
}
