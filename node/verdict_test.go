package node_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// What every cell, and all cells together, are held to.
const (
	cellRate  = 0.95
	totalRate = 0.99
	harshRate = 0.90
	// doubt is the chance that we take for too small: a suite that is as good
	// as it must be fails no more often.
	doubt = 1e-3
	// namedWithin is how soon an impossible connection is declared one, by the
	// fastest of tries calls: a busy machine may slow any of them.
	namedWithin = 3 * time.Second
)

// outcome is what the runs of one cell came to.
type outcome struct {
	cell     cell
	runs     int
	good     int             // connected, or where that is impossible: said so in time
	times    []time.Duration // to the first echo, or to the declaration
	problems []string        // what the others met
	late     int             // declared impossible, but not in time
}

// add counts one connect.
func (o *outcome) add(r reply) {
	o.runs++
	took, ok := r.Echo, r.Error == ""
	if o.cell.class() == impossible {
		took, ok = r.Took, r.Error != "" && namesTheReason(r)
		if ok && took >= namedWithin && o.late < tries {
			o.late++
			o.runs--
			return
		}
		ok = ok && took < namedWithin
	}
	if ok {
		o.good++
		o.times = append(o.times, took)
		return
	}
	problem := fmt.Sprintf("after %v: %s", r.Took.Round(time.Millisecond), r.Error)
	if r.Error == "" {
		problem = fmt.Sprintf("connected via %s though that should be impossible", r.Via)
	}
	o.problems = append(o.problems, problem)
}

// namesTheReason tells an error that says what about the networks is in the
// way from one that only says that nothing came.
func namesTheReason(r reply) bool {
	return r.Hint != "" && (strings.Contains(r.Error, "random") || strings.Contains(r.Error, "simultaneous open"))
}

func (o *outcome) rate() float64 { return float64(o.good) / float64(max(o.runs, 1)) }

// refutes reports whether the runs show, beyond doubt, that less than rate of
// all connects would succeed: whether with exactly that rate so many failures
// or more had a chance below doubt (a one-sided binomial test).
func refutes(runs, good int, rate float64) bool { return tail(runs, runs-good, 1-rate) < doubt }

// tail is the chance of at least k hits in n draws of chance p.
func tail(n, k int, p float64) float64 {
	sum := 0.0
	for i := k; i <= n; i++ {
		lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
		sum += math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// quantile gives the time that the share q of all stays within; 0 for none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

func median(times []time.Duration) time.Duration { return quantile(times, 0.5) }

func ms(d time.Duration) string { return fmt.Sprintf("%d", d.Round(time.Millisecond).Milliseconds()) }

// pool counts the outcomes of several cells together.
func pool(all []*outcome) outcome {
	var sum outcome
	for _, o := range all {
		sum.runs += o.runs
		sum.good += o.good
		sum.times = append(sum.times, o.times...)
	}
	return sum
}

// worstFirst orders outcomes by their rate.
func worstFirst(all []*outcome) []*outcome {
	return slices.SortedStableFunc(slices.Values(all), func(a, b *outcome) int { return cmp.Compare(a.rate(), b.rate()) })
}

func TestRefutes(t *testing.T) {
	for _, c := range []struct {
		runs, good int
		rate       float64
		want       bool
	}{
		{3, 3, cellRate, false},
		{3, 1, cellRate, false}, // 0.7 %: too little to tell
		{3, 0, cellRate, true},
		{20, 19, cellRate, false},
		{20, 15, cellRate, false},
		{20, 14, cellRate, true},
		{80, 71, cellRate, false},
		{80, 67, cellRate, true},
		{6000, 5940, totalRate, false},
		{6000, 5910, totalRate, true},
	} {
		if got := refutes(c.runs, c.good, c.rate); got != c.want {
			t.Errorf("%d of %d refutes %.2f: %v, chance %.2g", c.good, c.runs, c.rate, got, tail(c.runs, c.runs-c.good, 1-c.rate))
		}
	}
	if d := tail(10, 0, 0.3); math.Abs(d-1) > 1e-9 {
		t.Errorf("all chances add up to %v", d)
	}
}

func TestQuantile(t *testing.T) {
	times := []time.Duration{5, 1, 4, 2, 3}
	if m, p, w := median(times), quantile(times, 0.95), quantile(times, 1); m != 3 || p != 5 || w != 5 || median(nil) != 0 {
		t.Errorf("median %d, 95th percentile %d, worst %d", m, p, w)
	}
}

// The matrix must say of each pair what theory says, in both directions alike.
func TestCells(t *testing.T) {
	count := map[class]int{}
	names := map[string]bool{}
	for _, c := range wholeMatrix() {
		count[c.class()]++
		if names[c.String()] {
			t.Errorf("%s is there twice", c)
		}
		names[c.String()] = true
		back := cell{c.callee, c.caller, c.refuse}.class()
		if mirror := map[class]class{directly: reversed, reversed: directly}; back != c.class() && mirror[back] != c.class() {
			t.Errorf("%s is %s, but the other way %s", c, c.class(), back)
		}
	}
	// 11 × 11 pairs and one that refuses simultaneous open, thrice; open × open once.
	if len(names) != 3*(11*11+1)-2 {
		t.Errorf("%d cells", len(names))
	}
	// Random × the six symmetric ones, both ways, and the refused simultaneous open.
	if got := count[impossible]; got != 3*(2*6-1+1) {
		t.Errorf("%d cells are impossible", got)
	}
	for _, c := range classes {
		if count[c] == 0 {
			t.Errorf("no cell is %s", c)
		}
	}
	for _, c := range append(quickMatrix(), theDozen()...) {
		if !names[c.String()] {
			t.Errorf("%s is not in the whole matrix", c)
		}
	}
}
