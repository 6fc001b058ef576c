package node

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
)

const (
	// rescueTimeout bounds one attempt to reach the peer of a lost session.
	rescueTimeout = 15 * time.Second
	// rescueMost is between two of them at most.
	rescueMost = 15 * time.Second
)

// upgrades are when a better path than a relay is looked for, after each other.
// The last one goes on repeating.
var upgrades = []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// rescuer finds new paths for a session that we opened.
type rescuer struct {
	node      *Node
	peer      address.Address // as it was known last; the rescue's alone after begin
	by        []Strategy      // that may be used
	upgrading atomic.Bool
}

// rescue calls the peer until the session has a path that works, or is over.
func (r *rescuer) rescue(s *session.Session) {
	n := r.node
	for try := 0; s.Needs(); try++ {
		if try > 0 && (!r.rest(s, min(time.Second<<(try-1), rescueMost)) || !s.Needs()) {
			return
		}
		n.log.Info("looking for another path", "peer", s.Peer().Short(), "try", try+1)
		// The peer may be the one that has moved, so it is asked where it is;
		// where it can't be asked, what was known of it may still hold.
		peer := r.peer
		if try%2 == 0 {
			peer.V4, peer.V6 = nil, nil
		}
		err := r.move(n.ctx, s, peer, r.by, ToRescue)
		if err == nil || errors.Is(err, session.ErrGone) {
			return
		}
		n.log.Info("no other path yet", "peer", s.Peer().Short(), "error", err)
	}
}

// rest waits, until a network has changed at the longest. It reports whether the
// session, and the node, are still there.
func (r *rescuer) rest(s *session.Session, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.node.shaken.wait():
	case <-s.Over():
	case <-r.node.ctx.Done():
	}
	return r.node.ctx.Err() == nil && !over(s)
}

// move calls the peer by the strategies given, and has the session go on over
// the link.
func (r *rescuer) move(ctx context.Context, s *session.Session, peer address.Address, by []Strategy, purpose CallPurpose) (err error) {
	ctx, cancel := context.WithTimeout(ctx, rescueTimeout)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.Over():
			cancel()
		case <-stop:
		}
	}()
	n := r.node
	c := n.newCall(peer)
	c.by = by
	n.calls.add(c)
	defer n.calls.remove(c)
	n.events.tell(CallBegun{c.id.String(), peer.Key, purpose})
	o, failures := c.race(ctx)
	defer func() { c.ended(o.via, err) }()
	if o.link == nil {
		return &ConnectError{Peer: peer.Key, Attempts: failures, Cause: context.Cause(ctx)}
	}
	if len(c.peer.Interfaces()) > 0 {
		r.peer = c.peer
	}
	l, err := o.link.Nominate(c.id, link.Resume)
	if err != nil {
		return err
	}
	keep(l)
	if err := s.Resume(ctx, l, pathOf(l, o.via)); err != nil {
		return err
	}
	n.log.Info("session goes on", "peer", peer.Key.Short(), "via", string(o.via), "remote", l.RemoteAddr(), "took", time.Since(c.begun))
	return nil
}

// moved looks for something better when a session runs through a relay.
func (r *rescuer) moved(s *session.Session) {
	n := r.node
	if pathIn(s).via != Relay || r.upgrading.Swap(true) {
		return
	}
	better := without(r.by, Relay)
	if len(better) == 0 {
		return
	}
	n.spawn(func() {
		defer r.upgrading.Store(false)
		for try := 0; r.rest(s, upgrades[min(try, len(upgrades)-1)]); try++ {
			if pathIn(s).via != Relay {
				return
			}
			if !s.Stats().Alive {
				continue // the rescue sees to it
			}
			peer := r.peer
			peer.V4, peer.V6 = nil, nil
			if err := r.move(n.ctx, s, peer, better, ToImprove); err != nil {
				n.log.Debug("no better path than the relay yet", "peer", s.Peer().Short(), "error", err)
			}
		}
	})
}

func without(list []Strategy, one Strategy) []Strategy {
	return slices.DeleteFunc(slices.Clone(list), func(s Strategy) bool { return s == one })
}

func over(s *session.Session) bool {
	select {
	case <-s.Over():
		return true
	default:
		return false
	}
}
