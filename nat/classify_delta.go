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

const (
	// enoughInRow is how many consecutive local ports show whether it matters
	// that they are.
	enoughInRow = 4
	// crowdedFrom is how many ports of the NAT's range there must be for each
	// that we hold, so that it seldom finds the next one taken. At 64, a row of
	// five is broken twice in one case of two hundred.
	crowdedFrom = 64
	// evenSteps is how exact a run on a counter of our own is at least: it may
	// jump over a port that is taken.
	evenSteps = 0.75
)

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

// repeats reports whether a run makes at least one step that is known from
// elsewhere, over one port that is displaced at most.
func repeats(runs [][]Mapping, step int) bool {
	for _, run := range runs {
		ports, places := byLocalPort(run)
		for i := range ports {
			for j := i + 1; j < len(ports) && j <= i+2; j++ {
				if distance(ports[i], ports[j]) == step*(places[j]-places[i]) {
					return true
				}
			}
		}
	}
	return false
}

// enoughRows reports whether the runs would show a step if there were one. A
// counter whose next port is taken goes on from somewhere else, and where that
// is likely, one run that shows nothing is no evidence.
func enoughRows(runs [][]Mapping, allocations []Mapping) bool {
	rows := 0
	for _, run := range runs {
		if ports, _ := byLocalPort(run); len(ports) >= enoughInRow {
			rows++
		}
	}
	return rows > 1 || rows == 1 && !crowded(allocations)
}

// crowded reports whether the NAT draws from a range that what it has given us
// fills to a good part.
func crowded(allocations []Mapping) bool {
	n, span := reach(allocations)
	return n > 2 && span <= crowdedFrom*n
}

// reach is how many ports lie between the outermost of the three quarters of
// all, n, that lie closest together, since others may be false or displaced.
func reach(allocations []Mapping) (n, span int) {
	ports, _ := inTime(allocations)
	slices.Sort(ports)
	n, span = (3*len(ports)+3)/4, math.MaxUint16
	for i := n - 1; i < len(ports); i++ {
		span = min(span, int(ports[i])-int(ports[i-n+1])+1)
	}
	return n, span
}

// brokenRuns finds the step that neighbours in the runs share, more often than
// by chance though they do not all stand on one counter: a port was taken, or
// an inner NAT has run over the end of its range.
func brokenRuns(runs [][]Mapping, allocations []Mapping) (best chain, ok bool) {
	count, all := map[int]int{}, 0
	for _, run := range runs {
		ports, places := byLocalPort(run)
		for i := 1; i < len(ports); i++ {
			all++
			if d, gap := distance(ports[i-1], ports[i]), places[i]-places[i-1]; d != 0 && d%gap == 0 {
				count[d/gap]++
			}
		}
	}
	_, span := reach(allocations)
	for step, n := range count {
		// The first suggested the step; which ones share it is open.
		odds := -float64(n-1) * math.Log(math.Max(float64(span), leastRange))
		for i := range n {
			odds += math.Log(float64(all-i) / float64(i+1))
		}
		if n > best.constant && odds < byChance {
			best, ok = chain{step: step, covered: float64(n) / float64(all), exact: 1, constant: n, score: float64(n)}, true
		}
	}
	return best, ok
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
// the local ports that are missing: of the most mappings that go up in local
// ports as in time, since others show nothing.
func byLocalPort(run []Mapping) (ports []uint16, places []int) {
	run = run[:min(len(run), 2*mostLinks)]
	length, before := make([]int, len(run)), make([]int, len(run)) // of the longest way that ends here, and its last step
	last := -1
	for i, m := range run {
		before[i] = -1
		for j := range i {
			if run[j].Local.Port() < m.Local.Port() && length[j] > length[i] {
				length[i], before[i] = length[j], j
			}
		}
		length[i]++
		if last < 0 || length[i] > length[last] {
			last = i
		}
	}
	for i := last; i >= 0; i = before[i] {
		ports, places = append(ports, run[i].External.Port()), append(places, int(run[i].Local.Port()))
	}
	slices.Reverse(ports)
	slices.Reverse(places)
	for i := len(places) - 1; i >= 0; i-- {
		places[i] -= places[0]
	}
	return ports, places
}
