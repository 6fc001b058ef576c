package nat

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

const (
	// enoughInRow is how many consecutive local ports show whether it matters
	// that they are.
	enoughInRow = 4
	// crowdedFrom is how many ports of the NAT's range there must be for each
	// that we hold, so that it seldom finds the next one taken. At 64, a row of
	// five is broken twice in one case of two hundred.
	crowdedFrom = 64
)

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

// brokenRuns finds the step that three neighbours in the runs share, or more,
// and oftener than by chance, though not all stand on one counter: a port was
// taken, or an inner NAT has run over the end of its range.
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
	for _, step := range slices.Sorted(maps.Keys(count)) {
		n := count[step]
		// The first suggested the step; which ones share it is open.
		odds := -float64(n-1) * math.Log(math.Max(float64(span), leastRange))
		for i := range n {
			odds += math.Log(float64(all-i) / float64(i+1))
		}
		if n >= 3 && n > best.constant && odds < byChance {
			best, ok = chain{step: step, covered: float64(n) / float64(all), exact: 1, constant: n, score: float64(n)}, true
		}
	}
	return best, ok
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
