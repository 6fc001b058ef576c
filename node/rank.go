package node

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling/reflector"
)

// maxDirect is how many endpoints of a peer are dialled at most.
const maxDirect = 6

// dialable lists the endpoints of peer that are worth a direct dial from self,
// best first: the inner ones where the two share a network, then the external
// ones, first those that let strangers in. Inner addresses mean something else in
// another network, so they are left out there, and everywhere those that no peer
// can have: an address is the peer's word alone.
func dialable(self, peer address.Address) []netip.AddrPort {
	sameMachine := self.MachineID != "" && self.MachineID == peer.MachineID
	site := sameMachine || shareSite(self, peer) || allUnseen(self) || allUnseen(peer)
	var inner, outer, last []netip.AddrPort
	for _, theirs := range peer.Interfaces() {
		if (theirs.Internal.IsLoopback() || theirs.External.IsLoopback()) && !sameMachine && !onlyLoopback(self) {
			continue
		}
		if sameMachine || neighbours(self, theirs) {
			inner = append(inner, theirs.InternalEndpoint())
		}
		switch e := theirs.ExternalEndpoint(); {
		case unseen(theirs):
			// Containers' bridges have the same address everywhere: ours is
			// where we meet ourselves.
			if site && (sameMachine || allUnseen(self) || !isOurs(self, e.Addr())) {
				last = append(last, e)
			}
		case theirs.NAT.AcceptsUnsolicited():
			outer = slices.Insert(outer, countOpen(outer, peer), e)
		default:
			outer = append(outer, e)
		}
	}
	if sameMachine {
		inner = append(inner, loopbacks(peer)...)
	}
	var all []netip.AddrPort
	for _, e := range slices.Concat(inner, outer, last) {
		if reaches(self, e.Addr()) && !reflector.Nobody(e.Addr()) && !slices.Contains(all, e) && !listens(self, e) {
			all = append(all, e)
		}
	}
	return all[:min(len(all), maxDirect)]
}

// countOpen is how many of list are endpoints of peer that let strangers in;
// they stand first.
func countOpen(list []netip.AddrPort, peer address.Address) int {
	n := 0
	for _, e := range list {
		if slices.ContainsFunc(peer.Interfaces(), func(i address.Interface) bool {
			return i.NAT.AcceptsUnsolicited() && i.ExternalEndpoint() == e
		}) {
			n++
		}
	}
	return n
}

// loopbacks are where a node of this machine listens besides.
func loopbacks(peer address.Address) []netip.AddrPort {
	var all []netip.AddrPort
	if len(peer.V4) > 0 {
		all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), peer.V4[0].Port))
	}
	if len(peer.V6) > 0 {
		all = append(all, netip.AddrPortFrom(netip.IPv6Loopback(), peer.V6[0].Port))
	}
	return all
}

// unseen reports whether an interface has an address of some inner network, of
// which no server has seen an outside.
func unseen(i address.Interface) bool {
	return i.NAT == nat.Blocked && i.External == i.Internal && (i.External.IsPrivate() || i.External.IsLinkLocalUnicast())
}

// allUnseen reports whether that is all that an address has: nobody was asked,
// or nobody answered.
func allUnseen(a address.Address) bool {
	return !slices.ContainsFunc(a.Interfaces(), func(i address.Interface) bool { return !unseen(i) })
}

// shareSite reports whether the two are behind one NAT, or in one site.
func shareSite(self, peer address.Address) bool {
	return slices.ContainsFunc(peer.Interfaces(), func(theirs address.Interface) bool { return neighbours(self, theirs) })
}

// neighbours reports whether the inner address of theirs leads to the peer from
// one of our interfaces: both are behind the same external address, or have
// unique local addresses of one site, whose 40 random bits no other has
// (RFC 4193 §3.2).
func neighbours(self address.Address, theirs address.Interface) bool {
	return slices.ContainsFunc(self.Interfaces(), func(ours address.Interface) bool {
		if ours.External == theirs.External {
			return !unseen(ours)
		}
		site, err := ours.Internal.Prefix(48)
		return err == nil && uniqueLocal(ours.Internal) && site.Contains(theirs.Internal)
	})
}

func uniqueLocal(a netip.Addr) bool { return a.Is6() && a.IsPrivate() }

// isOurs reports whether we have that inner address ourselves.
func isOurs(self address.Address, a netip.Addr) bool {
	return slices.ContainsFunc(self.Interfaces(), func(i address.Interface) bool { return i.Internal == a })
}

// listens reports whether e is where we listen ourselves.
func listens(self address.Address, e netip.AddrPort) bool {
	return slices.ContainsFunc(self.Interfaces(), func(i address.Interface) bool { return i.InternalEndpoint() == e })
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

// maxPairs is how many pairs of one family are punched at most.
const maxPairs = 2

// punchable pairs the interfaces for a punch, for each family a list, best
// first: what needs no prediction before what does, that before what takes a
// birthday, and a pair that cannot meet only where there is no other. Among
// equals the interfaces that the two put first win, then ours with the shorter
// round trip to its servers. Interfaces behind one and the same external address
// are left to a direct dial, since their NAT would have to hairpin, and so are
// addresses of which nobody has seen an outside.
func punchable(self, peer address.Address, round func(address.Interface) time.Duration) [][]pair {
	var families [][]pair
	for _, family := range []struct{ ours, theirs []address.Interface }{{self.V4, peer.V4}, {self.V6, peer.V6}} {
		var all []pair
		order := make(map[pair]int)
		for i, theirs := range family.theirs {
			for k, ours := range family.ours {
				if ours.External != theirs.External && !unseen(ours) && !unseen(theirs) {
					p := pair{ours, theirs}
					all, order[p] = append(all, p), i+k
				}
			}
		}
		slices.SortStableFunc(all, func(a, b pair) int {
			return cmp.Or(
				cmp.Compare(effort(a), effort(b)),
				cmp.Compare(order[a], order[b]),
				cmp.Compare(round(a.ours), round(b.ours)),
			)
		})
		for k, p := range all {
			if k > 0 && effort(p) == cannotMeet {
				all = all[:k]
				break
			}
		}
		if len(all) > 0 {
			families = append(families, all[:min(len(all), maxPairs)])
		}
	}
	return families
}

// What it takes to punch a pair, from little to much.
const (
	standsNow   = iota // both mappings do, or a plain dial will do
	mustPredict        // one has to be looked up, and the next one computed
	mustGuess          // a birthday
	cannotMeet
)

func effort(p pair) int {
	m, err := punch.Choose(sideOf(p.ours), sideOf(p.theirs))
	switch {
	case err != nil:
		return cannotMeet
	case m.Method == punch.ByBirthday:
		return mustGuess
	case m.Caller.Probe || m.Callee.Probe:
		return mustPredict
	}
	return standsNow
}
