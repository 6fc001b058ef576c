package probe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// course is the boxes between a host and the internet, the innermost first.
type course []natlab.NAT

func (c course) String() string {
	var s []string
	for _, b := range c {
		what := fmt.Sprintf("%v, %v, %v", b.Mapping, b.Filtering, b.Ports)
		if b.Firewall {
			what = fmt.Sprintf("firewall, %v", b.Filtering)
		}
		if b.UDPBlocked {
			what += ", no udp"
		}
		s = append(s, what)
	}
	return strings.Join(s, "; ")
}

// drawCourse draws from the whole space: mapping, filtering, ports, range,
// refusal, company, externals, hairpinning, ends of mappings, jitter, two
// levels, UDP blocked, firewalls.
func drawCourse(rng *rand.Rand) course {
	c := course{drawBox(rng)}
	if rng.IntN(3) == 0 {
		c = append(c, drawBox(rng))
	}
	// On the internet's side only: jitter before a counter is disorder that no
	// order of sending can mend.
	c[len(c)-1].Jitter = time.Duration(rng.IntN(2)) * 5 * time.Millisecond
	return c
}

func drawBox(rng *rand.Rand) natlab.NAT {
	one := func(n int) bool { return rng.IntN(n) == 0 }
	box := natlab.NAT{
		Mapping: nat.Behavior(1 + rng.IntN(3)), Filtering: nat.Behavior(1 + rng.IntN(3)),
		Ports:    nat.Delta{Kind: nat.Equal + nat.DeltaKind(rng.IntN(5))},
		Refuse:   natlab.Refusal(rng.IntN(5)),
		EndOnRST: one(2), EndOnFIN: one(2), Hairpin: one(2),
		Firewall: one(8), UDPBlocked: one(8),
		Externals: 1 + max(0, rng.IntN(6)-3),
	}
	box.Arbitrary = box.Externals > 1 && one(2)
	if box.Firewall { // which maps everything to itself
		box.Mapping, box.Ports, box.Externals, box.Arbitrary = nat.EndpointIndependent, nat.Delta{Kind: nat.Equal}, 1, false
		return box
	}
	k := box.Ports.Kind
	if k == nat.Independent || k == nat.Dependent {
		box.Ports.Value = 1 + rng.IntN(10)
		if one(2) {
			box.Ports.Value *= -1
		}
		box.Foreign = float64(rng.IntN(3) * 5)
	}
	if one(3) {
		lo, size := 2000+rng.IntN(30000), 2000+rng.IntN(20000)
		if box.Ports.Value != 0 && one(2) {
			size = 128 + rng.IntN(200) // wraps while it is looked at
		}
		box.Range = [2]uint16{uint16(lo), uint16(lo + size - 1)}
	}
	return box
}

// verdicts are what a report may say of a course and be right.
type verdicts struct {
	kind      nat.Type
	deltas    []nat.Delta // several where what the boxes do together has no one name
	mapping   nat.Behavior
	filtering nat.Behavior
	refusal   nat.Refusal
	hairpin   nat.Answer
	depth     int
	carrier   bool
	udp       bool // gets through
}

// expect says what a perfect report would, from the settings alone. The words
// are those of what the host meets, whichever box does it: the narrower
// mapping and the narrower filter of two.
func expect(c course) verdicts {
	v := verdicts{mapping: nat.EndpointIndependent, filtering: nat.EndpointIndependent, udp: true}
	ports := []nat.Delta{{Kind: nat.NotApplicable}}
	in := [2]int{32768, 60999} // what Linux gives out
	for i, b := range c {
		v.udp = v.udp && !b.UDPBlocked
		v.filtering = max(v.filtering, b.Filtering)
		if b.Firewall {
			continue
		}
		v.mapping = max(v.mapping, b.Mapping)
		v.depth = i + 1
		v.hairpin = nat.No
		if b.Hairpin {
			v.hairpin = nat.Yes
		}
		var own []nat.Delta
		own, in = boxPorts(b, in)
		var out []nat.Delta
		for _, inner := range ports {
			for _, outer := range own {
				for _, d := range together(inner, outer, c) {
					if !slices.Contains(out, d) {
						out = append(out, d)
					}
				}
			}
		}
		ports = out
	}
	v.deltas = ports
	natted := ports[0].Kind != nat.NotApplicable
	switch {
	case !natted && v.filtering == nat.EndpointIndependent:
		v.kind = nat.Open
	case !natted:
		v.kind, v.depth = nat.SymmetricFirewall, 1 // a second one looks like any router
	case v.mapping != nat.EndpointIndependent:
		v.kind = nat.Symmetric
	default:
		v.kind = nat.FullCone + nat.Type(v.filtering-nat.EndpointIndependent)
	}
	// A carrier's box is a NAT with a box behind it.
	v.carrier = len(c) > 1 && !c[1].Firewall
	if v.mapping != nat.EndpointIndependent || !natted {
		v.hairpin = nat.Unasked
	}
	// A stranger meets the outermost filter first.
	for i := len(c) - 1; i >= 0 && v.refusal == nat.RefusalUnknown; i-- {
		if c[i].Filtering != nat.EndpointIndependent {
			v.refusal = map[natlab.Refusal]nat.Refusal{
				natlab.Drop: nat.Dropped, natlab.RST: nat.Reset,
				natlab.PortICMP: nat.Unreachable, natlab.ProhibitedICMP: nat.Unreachable, natlab.HostICMP: nat.Unreachable,
			}[c[i].Refuse]
		}
	}
	return v
}

// boxPorts says how one box chooses ports for local ports in a range, and out
// of which range. Ports that should stay equal but are not in the box's own
// range are random.
func boxPorts(b natlab.NAT, in [2]int) ([]nat.Delta, [2]int) {
	lo, hi := int(b.Range[0]), int(b.Range[1])
	if hi == 0 {
		lo, hi = 1024, 65535
	}
	random := nat.Delta{Kind: nat.Random}
	switch {
	case b.Ports.Kind != nat.Equal:
		return []nat.Delta{b.Ports}, [2]int{lo, hi}
	case lo <= in[0] && in[1] <= hi:
		return []nat.Delta{b.Ports}, in
	case in[1] < lo || hi < in[0]:
		return []nat.Delta{random}, [2]int{lo, hi}
	}
	// Some stay equal. Those that lie in a row do, or none.
	return []nat.Delta{b.Ports, random, {Kind: nat.Dependent, Value: 1}}, [2]int{lo, hi}
}

// together says how ports look that an inner and an outer box choose in turn.
func together(inner, outer nat.Delta, c course) []nat.Delta {
	random := nat.Delta{Kind: nat.Random}
	// What depends on the inner host sees several of them.
	arbitrary := c[0].Arbitrary && outer.Kind == nat.Dependent && len(c) > 1 && !c[1].Firewall
	one := inner == nat.Delta{Kind: nat.Independent, Value: 1}
	switch {
	case arbitrary && inner.Kind != nat.NotApplicable:
		return []nat.Delta{random, outer, {Kind: nat.Independent, Value: outer.Value}}
	case inner.Kind == nat.NotApplicable, inner.Kind == nat.Equal, outer.Kind == nat.Independent, outer.Kind == nat.Random:
		return []nat.Delta{outer}
	case outer.Kind == nat.Equal, outer.Kind == nat.Preserving:
		return []nat.Delta{inner}
	case inner.Kind == nat.Preserving, inner.Kind == nat.Dependent && inner.Value == 1: // outer is Dependent
		return []nat.Delta{outer}
	case one && c[0].Foreign == 0:
		// Every mapping of the inner box is one above the last, which is what
		// the outer one goes by.
		return []nat.Delta{{Kind: nat.Independent, Value: outer.Value}}
	case one:
		return []nat.Delta{{Kind: nat.Independent, Value: outer.Value}, outer, random}
	}
	return []nat.Delta{random}
}

// wrongs lists what r says with confidence that isn't so.
func (v verdicts) wrongs(r nat.Report) (out []string) {
	check := func(what string, got, want any, ok bool) {
		if !ok {
			out = append(out, fmt.Sprintf("%s %v, want %v", what, got, want))
		}
	}
	check("type", r.Type, v.kind, r.Type == v.kind)
	check("delta", r.Delta, v.deltas, slices.Contains(v.deltas, r.Delta))
	check("tcp mapping", r.TCP.Mapping, v.mapping, r.TCP.Mapping == v.mapping)
	check("udp answered", r.UDP.Answered, v.udp, (r.UDP.Answered > 0) == v.udp)
	if v.udp {
		check("udp filtering", r.UDP.Filtering, v.filtering, r.UDP.Filtering == v.filtering)
		check("udp mapping", r.UDP.Mapping, v.mapping, r.UDP.Mapping == v.mapping)
	}
	check("tcp filtering", r.TCP.Filtering, v.filtering, r.TCP.Filtering == v.filtering || r.TCP.Filtering == nat.BehaviorUnknown)
	check("refusal", r.Refusal, v.refusal, r.Refusal == v.refusal || r.Refusal == nat.RefusalUnknown)
	check("hairpin", r.Hairpin, v.hairpin, r.Hairpin == v.hairpin || r.Hairpin == nat.Unasked)
	check("depth", r.Depth, v.depth, r.Depth == v.depth || r.Depth == 0)
	check("carrier's", nat.CarrierGrade(r.Local, r.Hops), v.carrier, nat.CarrierGrade(r.Local, r.Hops) == v.carrier || r.Depth == 0)
	return out
}

// TestExpect holds the expectations against cases that are worked out by hand.
func TestExpect(t *testing.T) {
	d := func(k nat.DeltaKind, v int) nat.Delta { return nat.Delta{Kind: k, Value: v} }
	ei, ad, apd := nat.EndpointIndependent, nat.AddressDependent, nat.AddressAndPortDependent
	box := func(m, f nat.Behavior, p nat.Delta) natlab.NAT { return natlab.NAT{Mapping: m, Filtering: f, Ports: p} }
	equal := d(nat.Equal, 0)
	for _, c := range []struct {
		course course
		kind   nat.Type
		delta  nat.Delta
		depth  int
	}{
		{course{box(ei, ei, equal)}, nat.FullCone, equal, 1},
		{course{box(ei, ad, equal), box(ei, ei, d(nat.Independent, 2))}, nat.Restricted, d(nat.Independent, 2), 2},
		{course{box(ei, apd, d(nat.Independent, 1)), box(ei, ad, d(nat.Dependent, 3))}, nat.PortRestricted, d(nat.Independent, 3), 2},
		{course{box(ei, apd, d(nat.Independent, 2)), box(apd, ad, d(nat.Dependent, 3))}, nat.Symmetric, d(nat.Random, 0), 2},
		{course{{Firewall: true, Filtering: ad}}, nat.SymmetricFirewall, d(nat.NotApplicable, 0), 1},
		{course{{Firewall: true, Filtering: ei}}, nat.Open, d(nat.NotApplicable, 0), 0},
		{course{{Firewall: true, Filtering: ad}, box(ei, ei, equal)}, nat.Restricted, equal, 2},
		{course{box(ei, ei, equal), {Firewall: true, Filtering: apd}}, nat.PortRestricted, equal, 1},
		{course{{Mapping: ei, Filtering: ei, Ports: equal, Range: [2]uint16{2000, 9000}}}, nat.FullCone, d(nat.Random, 0), 1},
	} {
		v := expect(c.course)
		if v.kind != c.kind || len(v.deltas) != 1 || v.deltas[0] != c.delta || v.depth != c.depth {
			t.Errorf("%v: %+v", c.course, v)
		}
	}
}
