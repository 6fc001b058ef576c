package node

import (
	"net/netip"
	"slices"

	"github.com/sallyport-net/sallyport/address"
)

// maxDirect is how many endpoints of a peer are dialled at most.
const maxDirect = 6

// dialable lists the endpoints of peer that are worth a direct dial from self,
// best first: the inner ones where the two share a network (the same external
// address, or the same machine), and otherwise the external ones only, since
// an inner address means something else in another network.
func dialable(self, peer address.Address) []netip.AddrPort {
	sameMachine := self.MachineID != "" && self.MachineID == peer.MachineID
	var inner, outer []netip.AddrPort
	for _, theirs := range peer.Interfaces() {
		if theirs.Internal.IsLoopback() && !sameMachine && !onlyLoopback(self) {
			continue
		}
		if sameMachine || behindOneNAT(self, theirs) {
			inner = append(inner, theirs.InternalEndpoint())
		}
		outer = append(outer, theirs.ExternalEndpoint())
	}
	var all []netip.AddrPort
	for _, e := range append(inner, outer...) {
		if reaches(self, e.Addr()) && !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all[:min(len(all), maxDirect)]
}

// behindOneNAT reports whether one of our interfaces has the same external
// address as theirs.
func behindOneNAT(self address.Address, theirs address.Interface) bool {
	return slices.ContainsFunc(self.Interfaces(), func(ours address.Interface) bool {
		return ours.External == theirs.External
	})
}

// reaches reports whether self has an address of the same family.
func reaches(self address.Address, a netip.Addr) bool {
	if a.Is4() {
		return len(self.V4) > 0
	}
	return len(self.V6) > 0
}

func onlyLoopback(self address.Address) bool {
	return !slices.ContainsFunc(self.Interfaces(), func(i address.Interface) bool { return !i.Internal.IsLoopback() })
}

// pair is one interface of ours and one of the peer's, of one family.
type pair struct{ ours, theirs address.Interface }

// maxPairs is how many pairs are punched at once, at most.
const maxPairs = 2

// punchable pairs the interfaces for a punch, best first: one pair a family,
// IPv6 last, since it seldom needs one. Interfaces behind one and the same
// external address are left to a direct dial: their NAT would have to hairpin.
func punchable(self, peer address.Address) []pair {
	var all []pair
	for _, family := range []struct{ ours, theirs []address.Interface }{{self.V4, peer.V4}, {self.V6, peer.V6}} {
	search:
		for _, theirs := range family.theirs {
			for _, ours := range family.ours {
				if ours.External != theirs.External {
					all = append(all, pair{ours, theirs})
					break search
				}
			}
		}
	}
	return all[:min(len(all), maxPairs)]
}
