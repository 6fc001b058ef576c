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
// In each network the router has .1 and the others start at firstAddress.
const (
	firstAddress = 10
	maxAddresses = 200 // of one host or box on the internet
	maxPublic    = 45 * 240
	publicBits   = 24
)

// public is the network of the n-th host or box on the internet, from 0.
func public(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(51 + n%45), byte(10 + n/45%240), 1, 0}), publicBits)
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
	if prefix.Bits() > 27 {
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

// broadcast is the network's last address.
func (s *subnet) broadcast() netip.Addr {
	four := s.prefix.Addr().As4()
	for i := s.prefix.Bits(); i < 32; i++ {
		four[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(four)
}
