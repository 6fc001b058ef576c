package node

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
)

// surroundings is what the node knows of its networks: the report of each
// place, and what an address says about it.
type surroundings struct {
	mu      sync.Mutex
	list    []place
	reports map[netip.Addr]nat.Report
	mapped  map[netip.Addr]netip.AddrPort // where routers forward the warm port
	unasked map[netip.Addr]bool           // places that nobody was asked about yet
	news    bell                          // rings when the address may be another
}

func newSurroundings(list []place) *surroundings {
	s := &surroundings{list: list, reports: make(map[netip.Addr]nat.Report),
		mapped: make(map[netip.Addr]netip.AddrPort), unasked: make(map[netip.Addr]bool)}
	for _, p := range uplinksOf(list) {
		s.unasked[p.addr] = true
	}
	return s
}

// asked notes that all is known of places that is to be had at once.
func (s *surroundings) asked(list ...place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range list {
		delete(s.unasked, p.addr)
	}
	s.news.ring()
}

// settled reports whether all places were asked about.
func (s *surroundings) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unasked) == 0
}

// places lists where the node is, best first.
func (s *surroundings) places() []place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

// move makes list the places, and forgets what was known of others. It gives
// the addresses that are new, and whether anything has changed.
func (s *surroundings) move(list []place) (fresh []netip.Addr, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(s.list, list) {
		return nil, false
	}
	at := func(places []place, a netip.Addr) bool {
		return slices.ContainsFunc(places, func(p place) bool { return p.addr == a })
	}
	for _, p := range list {
		if !at(s.list, p.addr) {
			fresh = append(fresh, p.addr)
		}
	}
	up := uplinksOf(list)
	for _, p := range up {
		if !at(uplinksOf(s.list), p.addr) {
			s.unasked[p.addr] = true
		}
	}
	maps.DeleteFunc(s.unasked, func(a netip.Addr, _ bool) bool { return !at(up, a) })
	maps.DeleteFunc(s.reports, func(a netip.Addr, _ nat.Report) bool { return !at(list, a) })
	s.list = list
	s.news.ring()
	return fresh, true
}

// put takes a report over, unless its place has gone meanwhile.
func (s *surroundings) put(local netip.Addr, r nat.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.list, func(p place) bool { return p.addr == local }) {
		s.reports[local] = r
		if usable(r) {
			delete(s.unasked, local)
		}
		s.news.ring()
	}
}

// report gives what is known of the place with that local address; the zero
// Report where nothing is.
func (s *surroundings) report(local netip.Addr) nat.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports[local]
}

// round is the shortest round trip to a server from that place; 0 is unknown.
func (s *surroundings) round(local netip.Addr) time.Duration {
	return s.report(local).TCP.RTT
}

// local gives the local address of the place with that index in the address.
func (s *surroundings) local(index int) netip.Addr {
	list := s.places()
	if index < 0 || index >= len(list) {
		return netip.Addr{}
	}
	return list[index].addr
}

// device gives the interface to which sockets at a local address must be bound;
// "" where the system routes as it should.
func (s *surroundings) device(local netip.Addr) string {
	for _, p := range s.places() {
		if p.addr == local {
			return p.device
		}
	}
	return ""
}

// uplinks are the places that are asked about.
func (s *surroundings) uplinks() []place { return uplinksOf(s.places()) }

// uplinksOf are the places from which something may lead to the internet; all
// where none seems to.
func uplinksOf(list []place) []place {
	up := slices.DeleteFunc(slices.Clone(list), func(p place) bool { return p.stub })
	if len(up) == 0 {
		return list
	}
	return up
}

// interfaces composes the part of the address that says where the node lives.
func (s *surroundings) interfaces(port uint16, hideLAN bool) (v4, v6 []address.Interface) {
	for n, p := range s.places() {
		if hideLAN && p.addr.Is6() && p.addr.IsPrivate() && !s.report(p.addr).External.IsValid() {
			continue // it has no outside
		}
		i := describePlace(p, n, s.report(p.addr), s.forwarded(p.addr), port, hideLAN)
		if p.addr.Is4() {
			v4 = append(v4, i)
		} else {
			v6 = append(v6, i)
		}
	}
	return v4, v6
}

// describePlace turns a report into an interface of the address. What is not
// known is written as the case that promises nothing.
func describePlace(p place, index int, r nat.Report, mapped netip.AddrPort, port uint16, hideLAN bool) address.Interface {
	i := address.Interface{
		NetIndex: p.netIndex, Index: index, Internal: p.addr, External: p.addr,
		Port: port, NAT: nat.Blocked, Delta: nat.Delta{Kind: nat.NotApplicable},
	}
	if p.inner.IsValid() {
		i.Internal = p.inner
	}
	if r.External.IsValid() {
		i.External = r.External
	}
	switch {
	case r.Type.Valid():
		i.NAT = r.Type
	case p.addr.Is6() && p.addr.IsGlobalUnicast() && !p.addr.IsPrivate() && !p.stub:
		i.NAT = nat.SymmetricFirewall // no server was asked over IPv6, which is seldom translated and mostly guarded
	}
	if r.Delta.Kind.Valid() {
		i.Delta = r.Delta
	} else if i.NAT.Translates() {
		i.Delta = nat.Delta{Kind: nat.Random}
	}
	if r.Warm.IsValid() && r.Warm.Port() != port && i.NAT != nat.Symmetric {
		i.ExternalPort = r.Warm.Port()
	}
	// A router forwards the port, so strangers get in; unless servers see us
	// elsewhere, and it lies or has another NAT behind it.
	if mapped.IsValid() && !elsewhere(r, mapped.Addr()) {
		i.External, i.ExternalPort, i.NAT = mapped.Addr(), 0, nat.Open
		if mapped.Port() != port {
			i.ExternalPort = mapped.Port()
		}
		if mapped.Addr() != p.addr {
			i.NAT = nat.FullCone
			if !r.Delta.Kind.Valid() {
				i.Delta = nat.Delta{Kind: nat.Random}
			}
		}
	}
	if hideLAN && i.External != i.Internal {
		i.Internal = i.External
	}
	return i
}

// Address is the node's address as it stands now.
func (n *Node) Address() address.Address {
	a := address.Address{Brokers: n.cfg.Brokers, Key: n.cfg.Key.Public(), MachineID: n.cfg.MachineID}
	a.V4, a.V6 = n.around.interfaces(n.warm.port, n.cfg.HideLAN)
	if len(a.Brokers) > 0 {
		if rtt := n.channel.RTT(a.Brokers[0]); rtt > 0 {
			rtt = max(rtt.Round(time.Millisecond), time.Millisecond)
			for _, list := range [][]address.Interface{a.V4, a.V6} {
				for k := range list {
					list[k].BrokerRTT = rtt
				}
			}
		}
	}
	return a
}

// Reports gives what is known of each place, in the order of the address.
func (n *Node) Reports() []nat.Report {
	var all []nat.Report
	for _, p := range n.around.places() {
		all = append(all, n.around.report(p.addr))
	}
	return all
}
