package nat

import (
	"cmp"
	"math"
	"slices"
)

// chain is the longest run of ports in a sequence that one counter explains.
type chain struct {
	step     int       // what the counter goes up by, never 0
	covered  float64   // the part of the sequence that lies on it, 0 to 1
	exact    float64   // 1 where no step was longer than need be
	constant int       // steps that agree with the first one
	wrapped  PortRange // where the counter was seen to start again
	score    float64
}

const (
	mostMissed = 16 // allocations by others that one step may jump over
	mostLinks  = 32 // ports that are looked at, which bounds the time
	// leastRange is the smallest range of ports that a random allocator is
	// thought to draw from, when we ask how likely a chain is by chance.
	leastRange = 512
	// byChance is the logarithm of the odds below which a chain is no accident.
	byChance = -8 // e^-8 = 1 in 3000
)

// findChain looks for the counter that explains most of ports, which stand in
// the order in which a NAT chose them, at ascending places in its sequence of
// allocations. Ports may be missing or false, others
// may have drawn from the counter in between, two may have changed places, and
// the counter may have wrapped. It prefers the step that explains the
// most with the least: an even one, where 2, 4, 2 was seen, since 1 would need
// others to have drawn each time.
func findChain(ports []uint16, places []int) (chain, bool) {
	if len(ports) < 3 {
		return chain{}, false
	}
	ports, places = ports[:min(len(ports), mostLinks)], places[:min(len(places), mostLinks)]
	var best chain
	for _, step := range candidateSteps(ports, places) {
		c, ok := followChain(ports, places, step)
		if ok && c.score > best.score {
			best = c
		}
	}
	return best, best.score > 0
}

// candidateSteps gives every step that two or three neighbours suggest.
func candidateSteps(ports []uint16, places []int) []int {
	var steps []int
	add := func(n int) {
		if n != 0 && n >= -1<<15 && n < 1<<15 && !slices.Contains(steps, n) {
			steps = append(steps, n)
		}
	}
	for i := range ports {
		for j := i + 1; j < len(ports) && j <= i+3; j++ {
			d, gap := distance(ports[i], ports[j]), places[j]-places[i]
			if d%gap == 0 {
				add(d / gap)
			}
			add(d)
			if j+1 < len(ports) {
				if g := gcd(d, distance(ports[j], ports[j+1])); d < 0 {
					add(-g)
				} else {
					add(g)
				}
			}
		}
	}
	slices.SortFunc(steps, func(a, b int) int { // of equal scores, the smallest wins
		return cmp.Or(cmp.Compare(max(a, -a), max(b, -b)), cmp.Compare(b, a))
	})
	return steps
}

// continues reports whether ports go on by a step that is known from elsewhere,
// for which fewer of them are enough, and how well they do, from 0 to 1.
func continues(ports []uint16, places []int, step int) (well float64, ok bool) {
	const byChance = -3 // one in 20
	for _, w := range bestWays(ports, places, step) {
		if w.steps > 0 && 2*w.points >= len(ports) && w.odds+w.first+math.Log(float64(len(ports))) < byChance {
			covered, exact := float64(w.points)/float64(len(ports)), w.weight/float64(w.steps)
			well, ok = max(well, covered*(0.5+0.5*exact)), true
		}
	}
	return well, ok
}

// followChain judges the best ways through ports by step alone.
func followChain(ports []uint16, places []int, step int) (best chain, ok bool) {
	k := float64(len(ports))
	for _, w := range bestWays(ports, places, step) {
		covered, needed := float64(w.points)/k, 2
		if w.wrap.Known() && !w.usual {
			needed = 4 // a wrap is a step that proves nothing
		}
		if w.steps < needed || covered < 0.6 || w.odds+2*math.Log(k) > byChance {
			continue
		}
		if score := w.weight * covered * covered; score > best.score {
			best, ok = chain{
				step: step, covered: covered, exact: w.weight / float64(w.steps),
				constant: w.steps - 1, wrapped: w.wrap, score: score,
			}, true
		}
	}
	return best, ok
}

// way is a way through a sequence of ports by one step.
type way struct {
	value, weight float64
	first, odds   float64 // logarithms of how likely its first step is by chance, and the others
	points, steps int
	wrap          PortRange
	jump          int  // of the wrap: step - size of the range
	usual         bool // it wrapped where counters usually do
	ok            bool
}

// bestWays finds the best way on which the counter has not wrapped, and the
// best on which it has: dynamic programming over the last port on the way.
func bestWays(ports []uint16, places []int, step int) (best [2]way) {
	if len(ports) == 0 {
		return best
	}
	lo, hi := slices.Min(ports), slices.Max(ports)
	span := math.Max(float64(hi-lo)+1, leastRange)
	k := len(ports)
	at := make([][2]way, k)
	for j := range ports {
		at[j][0] = way{points: 1, ok: true}
		for i := range j {
			gap := places[j] - places[i]
			for w, from := range at[i] {
				if !from.ok {
					continue
				}
				next := from
				next.points++
				weight, times, fits := stepWeight(ports[i], ports[j], step, gap)
				switch {
				case fits:
					next.weight += weight
					next.value += weight + 0.5
					odds := math.Log(math.Min(1, float64(alternatives(times, gap))/span))
					if next.steps++; next.steps > 1 {
						next.odds += odds
					} else { // which suggested the step in the first place
						next.first = odds
					}
				case w == 0 && gap == 1 && wrapsAsUsual(ports[i], ports[j], step):
					next.weight, next.value = next.weight+1, next.value+1.5
					if next.steps++; next.steps > 1 {
						next.odds += math.Log(1 / span)
					} else {
						next.first = math.Log(1 / span)
					}
					next.jump, next.usual = int(ports[j])-int(ports[i]), true
					next.wrap = PortRange{min(ports[i], ports[j]), max(ports[i], ports[j])}
				case w == 0 && gap <= 2 && runsOver(ports[i], ports[j], step):
					next.value += 0.5
					next.jump = int(ports[j]) - int(ports[i])
					next.wrap = PortRange{min(ports[i], ports[j]), max(ports[i], ports[j])}
				case w == 1 && gap == 1 && int(ports[j])-int(ports[i]) == from.jump:
					// A long step in a small range runs over often, each time alike.
					next.weight, next.value, next.steps = next.weight+1, next.value+1.5, next.steps+1
					next.odds += math.Log(1 / span)
					next.wrap = PortRange{min(from.wrap.Lo, ports[i], ports[j]), max(from.wrap.Hi, ports[i], ports[j])}
				default:
					continue
				}
				to := w
				if next.wrap.Known() {
					to = 1
				}
				if !at[j][to].ok || next.value > at[j][to].value {
					at[j][to] = next
				}
			}
		}
		for w, s := range at[j] {
			if s.ok && s.value > best[w].value {
				best[w] = s
			}
		}
	}
	return best
}

// stepWeight says how well b follows a on a counter that goes up by step, gap
// places later in the sequence: 1 where each place in between drew once, less
// where others must have drawn too, or places have not drawn.
func stepWeight(a, b uint16, step, gap int) (weight float64, times int, ok bool) {
	d := distance(a, b)
	if d%step != 0 {
		return 0, 0, false
	}
	times = d / step
	if times < 1 || times > mostMissed+gap {
		return 0, 0, false
	}
	if times >= gap {
		return float64(gap) / float64(times), times, true
	}
	return 0.5 * float64(times) / float64(gap), times, true
}

// alternatives is how many ports would have done as well as one that lies
// times steps ahead, gap places later.
func alternatives(times, gap int) int {
	if times == gap {
		return 1
	}
	return 2 * times * gap
}

// usualPorts are the ranges that NATs commonly draw from: all ports but the
// well-known ones, and the dynamic ones of RFC 6335 §6.
var usualPorts = [...]PortRange{{1024, math.MaxUint16}, {49152, math.MaxUint16}}

// wrapsAsUsual reports whether b is the very port that follows a in a usual
// range, across its end. That is as good a step as any other, and no less of a
// coincidence.
func wrapsAsUsual(a, b uint16, step int) bool {
	for _, r := range usualPorts {
		next := int(a) + step
		if r.Contains(a) && (next < int(r.Lo) || next > int(r.Hi)) && r.Wrap(next) == b {
			return true
		}
	}
	return false
}

// runsOver reports whether b can follow a because the counter started again at
// the other end of its range.
func runsOver(a, b uint16, step int) bool {
	d := int(b) - int(a)
	return d != 0 && (d > 0) != (step > 0) && max(d, -d)+max(step, -step) >= 64
}

// distance is how far b lies above a, the short way round: -32768 to 32767.
func distance(a, b uint16) int { return int(int16(b - a)) }

// gcd is the greatest common divisor of the two amounts; gcd(0, n) = |n|.
func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}
