package nat

import (
	"math"
	"net/netip"
	"slices"
)

// DeltaVerdict says how external ports follow from local ports or from one
// another.
type DeltaVerdict struct {
	Delta      Delta
	Confidence float64   // 0 to 1
	Ports      PortRange // in which a counter was seen to wrap; zero if it was not
	// Consecutive tells that enough consecutive local ports were among the
	// samples, without which Dependent cannot be told from Random: a row of
	// them, or two where the NAT has so few ports that one row may well be
	// broken by ports that are taken.
	Consecutive bool
}

// NeedsConsecutive reports whether mappings of consecutive local ports could
// still change the verdict.
func (v DeltaVerdict) NeedsConsecutive() bool {
	return !v.Consecutive && (v.Delta.Kind == Random || v.Confidence < sureEnough)
}

// evenSteps is how exact a run on a counter of our own is at least: it may jump
// over a port that is taken.
const evenSteps = 0.75

// ClassifyDelta judges how ports move, by the reference's definitions: random
// local ports show equal, preserving and independent; consecutive ones, in the
// order of time, show dependent; what fits none is random. m is what
// ClassifyMapping found in the same mappings: where the mapping depends on the
// destination, every destination is an allocation of its own.
//
// Fewer than half of the samples may be false, lost or displaced by the
// allocations of others. A verdict wants about five local ports; one equal
// port says Equal already, since that is no accident.
func ClassifyDelta(ms []Mapping, m MappingVerdict) DeltaVerdict {
	return classifyDelta(ms, m, DeltaVerdict{})
}

// classifyDelta is ClassifyDelta with what the same NAT was seen to do over
// the other transport, which counts where its own rows show too little: one
// NAT seldom has two minds.
func classifyDelta(ms []Mapping, m MappingVerdict, other DeltaVerdict) DeltaVerdict {
	ms = slices.DeleteFunc(clean(ms), func(s Mapping) bool { return slices.Contains(m.Lying, s.Server) })
	if len(ms) == 0 {
		return DeltaVerdict{}
	}
	if m.Behavior != BehaviorUnknown && !m.Translated {
		return DeltaVerdict{Delta: Delta{Kind: NotApplicable}, Confidence: m.Confidence}
	}
	firsts := firstOfEach(ms, func(s Mapping) any { return s.Local })
	runs, spread := splitRuns(firsts)
	if v, ok := equal(firsts); ok {
		return v
	}
	if v, ok := preserving(spread); ok {
		return v
	}
	allocations := firstOfEach(ms, allocationKey(m.Behavior))
	consecutive := enoughRows(runs, allocations)
	independent := DeltaVerdict{}
	if c, ok := findChain(inTime(without(allocations, runs))); ok {
		independent = counterVerdict(Independent, c, consecutive)
	}
	if v, ok := preservingModulo(spread); ok && v.Confidence > independent.Confidence {
		return v
	}
	var best chain
	for _, run := range runs {
		if c, ok := findChain(byLocalPort(run)); ok && c.score > best.score {
			best = c
		}
	}
	if best.exact < evenSteps {
		if c, ok := brokenRuns(runs, allocations); ok {
			best = c
		}
	}
	if best.step != 0 && best.step != independent.Delta.Value {
		if v := besides(best, allocations, runs, spread); v.Confidence > independent.Confidence {
			return v
		}
	}
	if independent.Confidence > 0 {
		return independent
	}
	return noPattern(len(firsts), runs, consecutive, other)
}

// noPattern judges n local ports that show none: Random, unless the rows among
// them show too little for that and the other transport more.
func noPattern(n int, runs [][]Mapping, consecutive bool, other DeltaVerdict) DeltaVerdict {
	if n < 3 {
		return DeltaVerdict{Consecutive: consecutive}
	}
	v := DeltaVerdict{Delta: Delta{Kind: Random}, Consecutive: consecutive}
	if n > 3 {
		v.Confidence = 1 - math.Pow(0.6, float64(n-2))
	}
	known := other.Consecutive && other.Confidence >= sureEnough
	switch {
	case consecutive, known && other.Delta.Kind == Random:
		return v
	case known && other.Delta.Kind == Dependent && repeats(runs, other.Delta.Value):
		return DeltaVerdict{Delta: other.Delta, Confidence: 0.8 * other.Confidence, Ports: other.Ports}
	}
	v.Confidence = min(v.Confidence, 0.4)
	return v
}

// besides judges a counter that was found in a run of consecutive local ports
// by what the other local ports show: too few of them, perhaps, to show it by
// themselves. Its steps are even where it depends on the local port, for then
// nobody else draws from it; if they are not, it is no verdict.
func besides(run chain, allocations []Mapping, runs [][]Mapping, spread []Mapping) DeltaVerdict {
	others := without(allocations, runs)
	ports, places := inTime(others)
	if well, ok := continues(ports, places, run.step); ok {
		v := counterVerdict(Independent, run, true)
		v.Confidence *= well
		return v
	}
	if run.exact < evenSteps {
		return DeltaVerdict{}
	}
	v := counterVerdict(Dependent, run, true)
	if run.step == 1 {
		moved := map[int]int{}
		for _, s := range spread {
			moved[distance(s.Local.Port(), s.External.Port())]++
		}
		for _, n := range moved {
			if n > 1 {
				return DeltaVerdict{Delta: Delta{Kind: Preserving}, Confidence: 0.6, Consecutive: true}
			}
		}
	}
	if len(others) < 4 { // one of them the run's own
		v.Confidence = min(v.Confidence, 0.4)
	}
	return v
}

func counterVerdict(kind DeltaKind, c chain, consecutive bool) DeltaVerdict {
	return DeltaVerdict{
		Delta:       Delta{kind, c.step},
		Confidence:  c.covered * (0.5 + 0.5*c.exact) * (1 - math.Pow(0.4, float64(c.constant))),
		Ports:       c.wrapped,
		Consecutive: consecutive,
	}
}

// equal says Equal where most local ports kept their number.
func equal(firsts []Mapping) (DeltaVerdict, bool) {
	n, same := float64(len(firsts)), 0.0
	for _, s := range firsts {
		if s.External.Port() == s.Local.Port() {
			same++
		}
	}
	if 2*same <= n {
		return DeltaVerdict{}, false
	}
	return DeltaVerdict{Delta: Delta{Kind: Equal}, Confidence: same / n * (1 - math.Pow(0.4, same))}, true
}

// preserving says Preserving where most local ports moved by the same amount.
func preserving(spread []Mapping) (DeltaVerdict, bool) {
	count := map[int]int{}
	most := 0
	for _, s := range spread {
		d := distance(s.Local.Port(), s.External.Port())
		count[d]++
		most = max(most, count[d])
	}
	if most < 2 || 2*most <= len(spread) {
		return DeltaVerdict{}, false
	}
	share := float64(most) / float64(len(spread))
	return DeltaVerdict{
		Delta:      Delta{Kind: Preserving},
		Confidence: share * (1 - math.Pow(0.4, float64(most-1))),
	}, true
}

// preservingModulo says Preserving where the amounts by which local ports
// moved differ by multiples of one number, the size of the NAT's range, so
// that the local port's number is kept modulo that size. One sample may be false.
func preservingModulo(spread []Mapping) (DeltaVerdict, bool) {
	fits := func(ms []Mapping) bool {
		if len(ms) < 4 {
			return false
		}
		var size int
		lo, hi := math.MaxInt, 0
		for _, s := range ms {
			first := int(ms[0].External.Port()) - int(ms[0].Local.Port())
			size = gcd(size, int(s.External.Port())-int(s.Local.Port())-first)
			lo, hi = min(lo, int(s.External.Port())), max(hi, int(s.External.Port()))
		}
		return size >= 64 && hi-lo < size
	}
	v := DeltaVerdict{Delta: Delta{Kind: Preserving}, Confidence: 0.8}
	if fits(spread) {
		return v, true
	}
	for i := range spread {
		if fits(slices.Delete(slices.Clone(spread), i, i+1)) {
			v.Confidence = 0.6
			return v, true
		}
	}
	return DeltaVerdict{}, false
}

// firstOfEach gives the oldest mapping for every key.
func firstOfEach(ms []Mapping, key func(Mapping) any) []Mapping {
	seen := map[any]bool{}
	var out []Mapping
	for _, m := range ms {
		if k := key(m); !seen[k] {
			seen[k] = true
			out = append(out, m)
		}
	}
	return out
}

// allocationKey names what gets an external port of its own.
func allocationKey(b Behavior) func(Mapping) any {
	switch b {
	case AddressDependent:
		type key struct {
			local netip.AddrPort
			ip    netip.Addr
		}
		return func(m Mapping) any { return key{m.Local, m.Server.Addr()} }
	case AddressAndPortDependent:
		type key struct{ local, server netip.AddrPort }
		return func(m Mapping) any { return key{m.Local, m.Server} }
	}
	return func(m Mapping) any { return m.Local }
}
