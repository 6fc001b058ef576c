package node

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

const (
	// verifyPause is between two questions to STUN servers at least, whatever
	// happens; after failures it doubles, up to soon.
	verifyPause = 2 * time.Second
	// soon is when the mapping is verified for the first time, and how often
	// where no broker's connection keeps it but one to a STUN server, which
	// ends what is silent for some minutes.
	soon = time.Minute
)

// watch keeps what the node knows of its networks true until the node ends: it
// verifies the warm mapping when a broker's connection is lost and when it is
// back, when the machine's networks change, and now and then.
func (n *Node) watch() {
	keepers := make(map[netip.Addr]*probe.Held)
	defer func() {
		for _, held := range keepers {
			_ = held.Close()
		}
	}()
	due := time.NewTimer(min(n.cfg.Refresh, soon))
	defer due.Stop()
	failures := 0
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.changed:
		case <-n.stale:
		case <-due.C:
		case q := <-n.surveys:
			n.health.note(&n.health.stun, n.askAll(q))
			continue
		}
		if n.noSTUN() {
			continue
		}
		ctx, end := n.untilChanged()
		err := n.verify(ctx, keepers)
		ended := ctx.Err() != nil
		end()
		if n.ctx.Err() != nil {
			return
		}
		if ended {
			continue // the answer would be about networks that are gone
		}
		n.health.note(&n.health.stun, err)
		next := n.cfg.Refresh
		if err != nil {
			next = min(next, soon, verifyPause<<min(failures, 16))
			failures++
		} else {
			if failures > 0 {
				n.channel.Wake() // the network is back, so they need not wait
			}
			failures = 0
		}
		if len(keepers) > 0 {
			next = min(next, soon)
		}
		due.Reset(next)
		if !n.rest(min(verifyPause, n.cfg.Refresh)) {
			return
		}
	}
}

// rest pauses, unless the networks change, and reports whether the node lives on.
func (n *Node) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.changed:
		put(n.changed) // for watch
	case <-n.ctx.Done():
		return false
	}
	return true
}

// suspect makes watch verify the mapping soon.
func (n *Node) suspect() {
	put(n.stale)
}

// brokerState is told what becomes of each broker's connection.
func (n *Node) brokerState(b address.Broker, s mqtt.State) {
	n.events.broker(b, s)
	var notHad mqtt.BrokerError
	if !s.Open && slices.Contains(n.cfg.Brokers, b) {
		n.health.note(&n.health.broker, s.Err)
	}
	switch {
	case s.Open && n.lost.Swap(false), s.Open && n.health.blind():
		n.suspect()
		n.shaken.ring()
	case !s.Open && !errors.As(s.Err, &notHad): // one that was open, then
		n.checkSessions()
		if !n.lost.Swap(true) {
			n.suspect()
		}
	}
}

// put leaves an element in c, which has room for one.
func put(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is one
	}
}
