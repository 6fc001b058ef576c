package nat

import (
	"cmp"
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
	// Consecutive tells that consecutive local ports were among the samples,
	// without which Dependent cannot be told from Random.
	Consecutive bool
}

// NeedsConsecutive reports whether mappings of consecutive local ports could
// still change the verdict.
func (v DeltaVerdict) NeedsConsecutive() bool {
	return !v.Consecutive && (v.Delta.Kind == Random || v.Delta.Kind == DeltaUnknown)
}

// enoughInRow is how many consecutive local ports show whether it matters that
// they are.
const enoughInRow = 4

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
	consecutive := slices.ContainsFunc(runs, func(run []Mapping) bool { return len(run) >= enoughInRow })
	allocations := firstOfEach(ms, allocationKey(m.Behavior))
	if c, ok := findChain(inTime(without(allocations, runs))); ok {
		return counterVerdict(Independent, c, consecutive)
	}
	if v, ok := preservingModulo(spread); ok {
		return v
	}
	var best chain
	for _, run := range runs {
		c, ok := findChain(byLocalPort(run))
		if !ok {
			c, ok = brokenRun(byLocalPort(run))
		}
		if ok && c.score > best.score {
			best = c
		}
	}
	if best.step != 0 {
		return besides(best, allocations, runs, spread)
	}
	v := DeltaVerdict{Delta: Delta{Kind: Random}, Consecutive: consecutive}
	n := len(firsts)
	if n < 3 {
		v.Delta.Kind = DeltaUnknown
	}
	if n >= 4 {
		v.Confidence = 1 - math.Pow(0.6, float64(n-2))
	}
	if !consecutive {
		v.Confidence = min(v.Confidence, 0.4)
	}
	return v
}

// brokenRun finds the step that nearly all neighbours of a run share, though
// not all stand on one counter: an inner NAT may have run over the end of its
// range on the way.
func brokenRun(ports []uint16, places []int) (best chain, ok bool) {
	count := map[int]int{}
	for i := 1; i < len(ports); i++ {
		d, gap := distance(ports[i-1], ports[i]), places[i]-places[i-1]
		if d == 0 || d%gap != 0 {
			continue
		}
		count[d/gap]++
		if n := count[d/gap]; n >= 3 && n+2 >= len(ports) && n > best.constant {
			best, ok = chain{step: d / gap, covered: float64(n) / float64(len(ports)-1), exact: 1, constant: n, score: float64(n)}, true
		}
	}
	return best, ok
}

// besides judges a counter that was found in a run of consecutive local ports
// by what the other local ports show: too few of them, perhaps, to show it by
// themselves.
func besides(run chain, allocations []Mapping, runs [][]Mapping, spread []Mapping) DeltaVerdict {
	others := without(allocations, runs)
	if ports, places := inTime(others); continues(ports, places, run.step) {
		return counterVerdict(Independent, run, true)
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

// splitRuns finds the runs of at least three consecutive local ports, each in
// the order of time, and gives besides them the mappings of ports that lie
// apart: of ports closer than three, the oldest, for neighbours make a counter
// look as if it kept distances.
func splitRuns(firsts []Mapping) (runs [][]Mapping, spread []Mapping) {
	sorted := slices.Clone(firsts)
	slices.SortStableFunc(sorted, func(a, b Mapping) int { return cmp.Compare(a.Local.Port(), b.Local.Port()) })
	for len(sorted) > 0 {
		n, consecutive := 1, 1
		for n < len(sorted) && sorted[n].Local.Port()-sorted[n-1].Local.Port() < 3 {
			if sorted[n].Local.Port()-sorted[n-1].Local.Port() == 1 {
				consecutive++
			}
			n++
		}
		cluster := slices.Clone(sorted[:n])
		slices.SortStableFunc(cluster, func(a, b Mapping) int { return a.Sent.Compare(b.Sent) })
		if consecutive >= 3 {
			runs = append(runs, cluster)
		}
		spread = append(spread, cluster[0])
		sorted = sorted[n:]
	}
	slices.SortStableFunc(spread, func(a, b Mapping) int { return a.Sent.Compare(b.Sent) })
	return runs, spread
}

// without leaves out the mappings of local ports in runs, but for the first of
// each run, which is a local port like any other.
func without(ms []Mapping, runs [][]Mapping) []Mapping {
	return slices.DeleteFunc(slices.Clone(ms), func(m Mapping) bool {
		return slices.ContainsFunc(runs, func(run []Mapping) bool {
			return slices.ContainsFunc(run[1:], func(r Mapping) bool { return r.Local == m.Local })
		})
	})
}

// inTime gives the external ports, each one place after the other.
func inTime(ms []Mapping) (ports []uint16, places []int) {
	for i, m := range ms {
		ports, places = append(ports, m.External.Port()), append(places, i)
	}
	return ports, places
}

// byLocalPort gives the external ports of a run, at places that leave room for
// the local ports that are missing. Where time and local ports do not go the
// same way, the run shows nothing and is left out.
func byLocalPort(run []Mapping) (ports []uint16, places []int) {
	for i, m := range run {
		if i > 0 && m.Local.Port() <= run[i-1].Local.Port() {
			continue
		}
		ports, places = append(ports, m.External.Port()), append(places, int(m.Local.Port())-int(run[0].Local.Port()))
	}
	return ports, places
}
