package node

import (
	"net"
	"net/netip"
	"slices"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// defaultSessions is how many sessions peers may have with a node: each costs
	// a descriptor and some 50 kB.
	defaultSessions = 4096
	// leastWaiting is how many of them may wait for another path, whatever the
	// quarter comes to which may do so: a server whose own network is away for a
	// moment must not lose those that are not many.
	leastWaiting = 256
)

// named reports whether somebody is let in by name, for whatever, rather than as
// everyone is.
func (n *Node) named(k address.Key) bool {
	return n.admission().Level(k) == signaling.Listed || n.cfg.Relaying.For.Level(k) == signaling.Listed ||
		slices.ContainsFunc(n.cfg.RelayNodes, func(r address.Address) bool { return r.Key == k })
}

// guest is a session that a peer has begun, as far as it counts.
type guest struct {
	peer  address.Key
	site  netip.Prefix // where it is, or was last
	named bool
}

// guests are those for which ok holds. Sessions that come at the same moment are
// not among them yet.
func (n *Node) guests(ok func(*session.Session) bool) (list []*session.Session, about []guest) {
	list = n.sessions.all(func(s *session.Session) bool { return !s.Opener() && ok(s) })
	for _, s := range list {
		_, remote := s.Addrs()
		about = append(about, guest{s.Peer(), siteOf(remote), n.named(s.Peer())})
	}
	return list, about
}

// room reports whether a peer that is there may begin a session.
func (n *Node) room(peer address.Key, from net.Addr) bool {
	_, about := n.guests(func(*session.Session) bool { return true })
	return hasRoom(about, guest{peer, siteOf(from), n.named(peer)}, n.cfg.Sessions)
}

// hasRoom reports whether there is room for one more: of so many places one peer
// gets a quarter, all that are not named get three quarters, and those of them
// at one site a quarter.
func hasRoom(there []guest, g guest, most int) bool {
	peer, open, site := 0, 0, 0
	for _, o := range there {
		if o.peer == g.peer {
			peer++
		}
		if !o.named {
			open++
			if o.site == g.site {
				site++
			}
		}
	}
	quarter := max(1, most/4)
	return len(there) < most && peer < quarter && (g.named || open < max(1, most*3/4) && site < quarter)
}

// thin ends sessions of peers where too many wait for another path.
func (n *Node) thin() {
	if n.sessions.count((*session.Session).Waits) <= n.cfg.waiting { // mostly, and soon known
		return
	}
	n.sessions.thinning.Lock() // two at once would end one too many
	defer n.sessions.thinning.Unlock()
	list, about := n.guests((*session.Session).Waits)
	for _, k := range surplus(about, n.cfg.waiting) {
		if s := list[k]; s.GiveUp() {
			n.log.Info("a session does not wait any longer: too many do", "peer", s.Peer().Short())
		}
	}
}

// surplus picks those that are too many: of peers that are not named first, and
// of the site that has most.
func surplus(waiting []guest, most int) (these []int) {
	type group struct {
		named bool
		site  netip.Prefix
	}
	groups := make(map[group][]int)
	for k, g := range waiting {
		at := group{g.named, g.site}
		groups[at] = append(groups[at], k)
	}
	for over := len(waiting) - most; over > 0; over-- {
		var worst group
		for at, of := range groups {
			if was := groups[worst]; len(was) == 0 || worst.named && !at.named || worst.named == at.named && len(of) > len(was) {
				worst = at
			}
		}
		of := groups[worst]
		these = append(these, of[0])
		if groups[worst] = of[1:]; len(of) == 1 {
			delete(groups, worst)
		}
	}
	return these
}
