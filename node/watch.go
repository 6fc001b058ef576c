package node

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

const (
	// lookEvery is between two looks at the machine's own addresses, which
	// costs some system calls and no packet.
	lookEvery = 3 * time.Second
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
// back, when the machine's addresses change, and now and then.
func (n *Node) watch() {
	n.probing.Wait() // one question at a time leaves the warm port for a server
	keepers := make(map[netip.Addr]*probe.Held)
	defer func() {
		for _, held := range keepers {
			_ = held.Close()
		}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	due := time.NewTimer(min(n.cfg.Refresh, soon))
	defer due.Stop()
	failures := 0
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-look.C:
			if !n.relocate() {
				continue
			}
		case <-n.stale:
		case <-due.C:
		}
		if n.noSTUN() {
			continue
		}
		err := n.verify(n.ctx, keepers)
		if n.ctx.Err() != nil {
			return
		}
		n.health.note(&n.health.stun, err)
		next := n.cfg.Refresh
		if err != nil {
			next = min(next, soon, verifyPause<<min(failures, 16))
			failures++
		} else {
			if failures > 0 {
				n.wakeBrokers() // the network is back, so they need not wait
			}
			failures = 0
		}
		if len(keepers) > 0 {
			next = min(next, soon)
		}
		due.Reset(next)
		if !pause(n.ctx, min(verifyPause, n.cfg.Refresh)) {
			return
		}
	}
}

// suspect makes watch verify the mapping soon.
func (n *Node) suspect() {
	select {
	case n.stale <- struct{}{}:
	default: // it will already
	}
}

// brokerState is told what becomes of each broker's connection.
func (n *Node) brokerState(b address.Broker, s mqtt.State) {
	var notHad mqtt.BrokerError
	if !s.Open && slices.Contains(n.cfg.Brokers, b) {
		n.health.note(&n.health.broker, s.Err)
	}
	switch {
	case s.Open && n.lost.Swap(false), s.Open && n.health.blind():
		n.suspect()
	case !s.Open && !errors.As(s.Err, &notHad): // one that was open, then
		if !n.lost.Swap(true) {
			n.suspect()
		}
	}
}

// relocate looks at the machine's addresses. Where they have changed, what hung
// on those that are gone ends, and the brokers are tried at once.
func (n *Node) relocate() (changed bool) {
	list, err := places(n.cfg.Interfaces)
	if err != nil {
		n.log.Debug("the machine's addresses are not to be had", "error", err)
		return false // an interface that was named has gone: it may come back
	}
	fresh, changed := n.around.move(list)
	if !changed {
		return false
	}
	n.log.Info("the machine's addresses have changed", "places", len(list), "new", fresh)
	n.warm.dropGone()
	n.openDoors()
	n.wakeBrokers()
	return true
}

// wakeBrokers tries those brokers at once that wait for their next try.
func (n *Node) wakeBrokers() {
	n.all.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, readyTimeout)
		defer cancel()
		if err := n.reachBroker(ctx); err != nil {
			n.log.Debug("no broker reached", "error", err)
		}
	})
}
