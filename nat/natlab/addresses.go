package natlab

import "net/netip"

// The lab's numbering plan. Nothing of it leaves the machine, so the public
// addresses are taken from anywhere that looks public:
//
//	internet      51.10.1.10, 52.10.1.10, …   every host and box in a /16 of its own
//	carriers      100.64.N.0/24               between a carrier's box and those behind it
//	LANs          192.168.N.0/24
//	firewalls     10.N.1.0/24                 inside one that is itself behind a box
//
//	IPv6          2a00:N:1::/64               on the internet, and inside each box: nothing is translated
//	unique local  fd5a:11NN:NN07:1::/64       inside a box that wants one
//
// In each network the router has .1 or ::1, and the others start at firstAddress.
const (
	firstAddress = 10
	maxAddresses = 200 // of one host or box on the internet
	maxPublic    = 45 * 240
	maxPublic6   = 1<<16 - 1
	publicBits   = 24
)

// public is the network of the n-th host or box on the internet, from 0.
func public(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(51 + n%45), byte(10 + n/45%240), 1, 0}), publicBits)
}

// public6 is the n-th global IPv6 network, from 1.
func public6(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 0, byte(n >> 8), byte(n), 0, 1}), 64)
}

// uniqueLocal is the IPv6 network of the n-th box that no other site has
// (RFC 4193).
func uniqueLocal(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x5a, 0x11, byte(n >> 8), byte(n), 7, 0, 1}), 64)
}

// private is the n-th network, from 1, under the first two bytes a and b; with
// b = 0 the number takes its place.
func private(a, b byte, n int) netip.Prefix {
	c := byte(1 + (n-1)%250)
	four := [4]byte{a, b, c, 0}
	if b == 0 {
		four = [4]byte{a, c, 1, 0}
	}
	return netip.PrefixFrom(netip.AddrFrom4(four), 24)
}

// subnet hands out the addresses of one network.
type subnet struct {
	prefix netip.Prefix
	next   netip.Addr
}

func newSubnet(prefix netip.Prefix) *subnet {
	s := &subnet{prefix: prefix, next: prefix.Addr()}
	first := firstAddress
	if prefix.Addr().Is4() && prefix.Bits() > 27 {
		first = 2
	}
	for range first {
		s.next = s.next.Next()
	}
	return s
}

// gateway is the router's address.
func (s *subnet) gateway() netip.Addr { return s.prefix.Addr().Next() }

// take gives the next free address; false if the network is full.
func (s *subnet) take() (netip.Addr, bool) {
	a := s.next
	if a == s.broadcast() || !s.prefix.Contains(a) {
		return netip.Addr{}, false
	}
	s.next = a.Next()
	return a, true
}

// broadcast is the network's last address; IPv6 has none.
func (s *subnet) broadcast() netip.Addr {
	if s.prefix.Addr().Is6() {
		return netip.Addr{}
	}
	four := s.prefix.Addr().As4()
	for i := s.prefix.Bits(); i < 32; i++ {
		four[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(four)
}

// within gives each address the length of the network's prefix.
func (s *subnet) within(addrs []netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range addrs {
		all = append(all, netip.PrefixFrom(a, s.prefix.Bits()))
	}
	return all
}

// networks are those that one link leads into; what is not there is nil.
type networks struct{ v4, v6, ula *subnet }

// each gives those that are there.
func (n networks) each() []*subnet {
	var all []*subnet
	for _, s := range []*subnet{n.v4, n.v6, n.ula} {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

// within gives each address the length of the prefix that it lies in.
func (n networks) within(addrs []netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range addrs {
		for _, s := range n.each() {
			if s.prefix.Contains(a) {
				all = append(all, netip.PrefixFrom(a, s.prefix.Bits()))
			}
		}
	}
	return all
}
