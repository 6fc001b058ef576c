package node_test

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

var (
	matrixFlag = flag.String("matrix", "quick", `"all" cells of the matrix, or a "quick" selection`)
	runsFlag   = flag.Int("matrix.runs", 0, "connects per cell (default 3 quick, 20 all)")
	outFlag    = flag.String("matrix.out", "", "file for the table, relative to the root of the module")
)

// more is how many times as many connects a cell gets whose first ones fell
// short, before it is judged by all of them.
const more = 4

// matrixRuns is how many connects a cell gets.
func matrixRuns() int {
	switch {
	case *runsFlag > 0:
		return *runsFlag
	case *matrixFlag == "all":
		return 20
	}
	return 3
}

// conditions is what a cell must stand besides its NATs. The zero value is
// fair weather.
type conditions struct {
	name    string
	loss    float64       // of each access link, in each direction
	jitter  time.Duration // of each access link, in each direction
	clock   time.Duration // by how much the callee's wall clock is ahead
	foreign float64       // ports a second that others take from a counting NAT
	levels  int           // of NAT on each side; 0 means 1
	forget  bool          // NATs end a session at once on RST, and after both FINs
	rate    float64       // that a cell is held to; 0 means cellRate
}

// settle adds a host in the terrain: behind one NAT of its kind or several.
func (w *world) settle(name string, t terrain, refuse natlab.Refusal, c conditions) *natlab.Host {
	w.t.Helper()
	if t.nat == nil {
		return w.host(name, nil, func(h *natlab.HostConfig) { h.Loss, h.Jitter = c.loss, c.jitter })
	}
	cfg := *t.nat
	cfg.Refuse, cfg.Loss, cfg.Jitter = refuse, c.loss, c.jitter
	if c.forget && !cfg.Kernel {
		cfg.EndOnRST, cfg.EndOnFIN = true, true
	}
	if t.counts() {
		cfg.Foreign = c.foreign
	}
	box := w.nat(cfg)
	for range c.levels - 1 {
		cfg.Behind, cfg.Loss, cfg.Jitter, cfg.Foreign = box, 0, 0, 0
		box = w.nat(cfg)
	}
	return w.host(name, box)
}

// nodePair is the two nodes of a cell, who know each other by name.
type nodePair struct{ caller, callee *agent }

func (w *world) pair(c cell, under conditions) nodePair {
	w.t.Helper()
	callerKey, callerID := newKey(w.t)
	calleeKey, calleeID := newKey(w.t)
	var p nodePair
	p.caller = w.node(w.settle("caller", c.caller, c.refuse, under), func(r *role) {
		r.Key, r.Allow = callerKey, []string{calleeID}
	})
	p.callee = w.node(w.settle("callee", c.callee, c.refuse, under), func(r *role) {
		r.Key, r.Allow, r.Clock = calleeKey, []string{callerID}, under.clock
	})
	return p
}

// play runs a cell in a lab of its own: so many connects in a row, and more of
// them where these leave doubt.
func (c cell) play(t *testing.T, runs int, under conditions) *outcome {
	w := newWorld(t)
	p := w.pair(c, under)
	rate := cellRate
	if under.rate > 0 {
		rate = under.rate
	}
	o := &outcome{cell: c}
	for o.wants(runs, rate) {
		r := p.caller.do(order{Connect: p.callee.Address})
		if r.Echo > time.Second { // a second round: worth a look
			t.Logf("slow: %v\n%s", r.Echo, strings.Join(r.Log, "\n"))
		}
		before := len(o.problems)
		if o.add(r); len(o.problems) > before {
			t.Logf("%s (hint: %s)\n%s", o.problems[len(o.problems)-1], r.Hint, strings.Join(r.Log, "\n"))
		}
	}
	t.Logf("%s: %d of %d, median %v, worst %v", c.class(), o.good, o.runs,
		median(o.times).Round(time.Millisecond), quantile(o.times, 1).Round(time.Millisecond))
	switch {
	case c.class() == impossible && o.good < o.runs:
		t.Errorf("not declared impossible in %v and with the reason: %d of %d times", namedWithin, o.runs-o.good, o.runs)
	case refutes(o.runs, o.good, rate):
		t.Errorf("%d of %d succeed, which refutes %.0f %%", o.good, o.runs, 100*rate)
	}
	if t.Failed() {
		for name, a := range map[string]*agent{"caller": p.caller, "callee": p.callee} {
			r := a.do(order{Report: true})
			t.Logf("%s: %s\n%s", name, r.Address, r.Report)
		}
	}
	return o
}

// wants reports whether another connect is needed to judge the cell by.
func (o *outcome) wants(runs int, rate float64) bool {
	switch {
	case o.cell.class() == impossible:
		return o.runs < runs && o.good == o.runs // once is too often
	case o.runs < runs:
		return true
	}
	return o.rate() < rate && o.runs < more*runs && !refutes(o.runs, o.good, rate)
}

// outcomes gathers what parallel subtests found.
type outcomes struct {
	mu  sync.Mutex
	all []*outcome
}

func (o *outcomes) add(one *outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, one)
}

// TestMatrix connects across every pair of networks, one subtest for each, in
// labs side by side (as many as -parallel says):
//
//	go test ./node -run TestMatrix -matrix=all -parallel 8 -timeout 2h -matrix.out=docs/matrix.md
func TestMatrix(t *testing.T) {
	t.Parallel()
	cells := quickMatrix()
	if *matrixFlag == "all" {
		cells = wholeMatrix()
	}
	var found outcomes
	begun := time.Now()
	t.Cleanup(func() {
		judgeAll(t, found.all)
		if *outFlag != "" {
			text := renderMatrix(found.all, time.Since(begun))
			if err := os.WriteFile("../"+*outFlag, []byte(text), 0o644); err != nil {
				t.Error(err)
			}
		}
	})
	for _, c := range cells {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			found.add(c.play(t, matrixRuns(), conditions{}))
		})
	}
}

// judgeAll judges all possible cells together.
func judgeAll(t *testing.T, all []*outcome) {
	var possible []*outcome
	for _, o := range all {
		if o.cell.class() != impossible {
			possible = append(possible, o)
		}
	}
	sum := pool(possible)
	t.Logf("%d of %d connects in %d cells: %.1f %%", sum.good, sum.runs, len(possible), 100*sum.rate())
	if refutes(sum.runs, sum.good, totalRate) {
		t.Errorf("%d of %d succeed, which refutes %.0f %%", sum.good, sum.runs, 100*totalRate)
	}
}

// TestHarsh puts the same cells under conditions that are worse than a lab's.
func TestHarsh(t *testing.T) {
	if testing.Short() {
		t.Skip("a long one: left out with -short")
	}
	t.Parallel()
	for _, under := range []conditions{
		{name: "loss and jitter", loss: 0.05, jitter: 10 * time.Millisecond, rate: harshRate},
		{name: "clocks ten minutes apart", clock: 10 * time.Minute},
		{name: "foreign allocations", foreign: 20, rate: harshRate},
		{name: "two levels of NAT", levels: 2},
		{name: "mappings that end early", forget: true},
	} {
		t.Run(under.name, func(t *testing.T) {
			t.Parallel()
			var found outcomes
			t.Cleanup(func() {
				sum := pool(found.all)
				t.Logf("%d of %d, median %v, worst %v", sum.good, sum.runs, median(sum.times), quantile(sum.times, 1))
			})
			for n, c := range theDozen() {
				counts := c.caller.counts() || c.callee.counts()
				if under.foreign > 0 && !counts || *matrixFlag != "all" && under.foreign == 0 && n%4 != 1 {
					continue
				}
				t.Run(c.String(), func(t *testing.T) {
					t.Parallel()
					found.add(c.play(t, matrixRuns(), under))
				})
			}
		})
	}
}

// counts reports whether the NAT hands out ports by a counter that its hosts share.
func (t terrain) counts() bool {
	return t.symmetric() && t.nat.Ports.Kind == nat.Independent
}
