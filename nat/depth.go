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
// with an address of RFC 6598 on it.
func CarrierGrade(local netip.Addr, hops []netip.Addr) bool {
	return carrier.Contains(local) || slices.ContainsFunc(hops, carrier.Contains)
}

// Levels is how many NATs the report shows in a row: 0 for none, and 2 where
// the way out leads through the network of a carrier's NAT, or through a second
// private network. The latter is no proof, since a site may have several
// routers and one NAT; sure is false then.
func (r Report) Levels() (n int, sure bool) {
	if !r.NATed() {
		return 0, true
	}
	if carrier.Contains(r.Local) { // the carrier's customer has no router
		return 1, true
	}
	if CarrierGrade(r.Local, r.Hops) {
		return 2, true
	}
	private := 0
	for _, h := range r.Hops {
		if inside(h) {
			private++
		}
	}
	return min(max(private, 1), 2), private <= 1
}

func inside(a netip.Addr) bool {
	return a.IsValid() && (a.IsPrivate() || carrier.Contains(a) || a.IsLinkLocalUnicast())
}
