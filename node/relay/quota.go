package relay

import (
	"net/netip"
	"sync"
)

// quota counts allocations, by the control connection that asked for each.
type quota struct {
	perUser, perIP, total int

	mu   sync.Mutex
	held map[string]*holder // by the remote endpoint of the control connection
}

type holder struct {
	user  string
	site  netip.Prefix
	peers map[netip.Addr]bool // that were permitted
}

// maxPermitted is how many peers' addresses an allocation may permit: a node has
// six, and relays.
const maxPermitted = 64

func newQuota(perUser, perIP, total int) *quota {
	return &quota{perUser: perUser, perIP: perIP, total: total, held: make(map[string]*holder)}
}

// take reserves an allocation for a control connection, and reports whether
// there is one left. A connection has one at most, and asking again is free.
func (q *quota) take(remote netip.AddrPort, user string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := remote.String()
	if _, ok := q.held[key]; ok {
		return true
	}
	h := &holder{user, site(remote.Addr()), make(map[netip.Addr]bool)}
	users, sites := 0, 0
	for _, o := range q.held { // a few hundred at most
		if o.user == h.user {
			users++
		}
		if o.site == h.site {
			sites++
		}
	}
	perUser := q.perUser
	if isLent(user) {
		perUser = min(perUser, lentQuota)
	}
	if len(q.held) >= q.total || users >= perUser || sites >= q.perIP {
		return false
	}
	q.held[key] = h
	return true
}

// permit reports whether an allocation may let a peer's address in, one more or
// once more.
func (q *quota) permit(remote netip.AddrPort, peer netip.Addr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.held[remote.String()]
	if h == nil || len(h.peers) >= maxPermitted && !h.peers[peer] {
		return false
	}
	h.peers[peer] = true
	return true
}

// release gives back what the connection has.
func (q *quota) release(remote netip.AddrPort) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.held, remote.String())
}

// site is what an IP quota counts: an IPv4 address, or an IPv6 /64.
func site(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
