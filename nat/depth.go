package nat

import (
	"net/netip"
	"slices"
)

// MaxHops is how many hops of the way out are looked at to find our own NATs.
const MaxHops = 6

// carrier is the network between a carrier's NAT and its customers (RFC 6598).
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// Depth tells from the first routers of the way to the internet how many hops
// lead through our own NATs, and 0 where that can't be told. hops[k] is who
// reported that a packet with a TTL of k+1 died there; the zero Addr is silence.
//
// Routers with private or carrier's addresses stand before or at the last NAT,
// so the last of them counts; a home router reports from its inner side. A
// router that only filters has a public address, and is the first.
func Depth(t Type, hops []netip.Addr) int {
	last := 0
	for k, h := range hops[:min(len(hops), MaxHops)] {
		if inside(h) {
			last = k + 1
		}
	}
	switch {
	case t == SymmetricFirewall && len(hops) > 0 && hops[0].IsValid():
		return max(last, 1)
	case t.Translates():
		return last
	}
	return 0
}

// CarrierGrade reports whether the way out leads through a carrier's NAT: one
// with an address of RFC 6598 on it, or more than one private network between
// us and the internet. It is no proof where a site has several routers.
func CarrierGrade(local netip.Addr, hops []netip.Addr) bool {
	return carrier.Contains(local) || slices.ContainsFunc(hops, carrier.Contains)
}

func inside(a netip.Addr) bool {
	return a.IsValid() && (a.IsPrivate() || carrier.Contains(a) || a.IsLinkLocalUnicast())
}
