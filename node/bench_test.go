package node_test

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// underCarrier puts a carrier's NAT before each home router.
var underCarrier = conditions{levels: 2}

// BenchmarkConnect measures, for each class of cells, from Connect to both
// keys proven (usable) and to the first echo: medians, 95th percentile and
// worst, in ms and as multiples of what the path's delays allow:
//
//	go test ./node -run '^$' -bench Connect -benchtime 20x
//
// x(…) is over what the path allows: the median, the 95th percentile and the
// worst; xgoal is the median over what the class is held to, and at most 1 is
// good. Where both mappings stand no run may take longer than neverAbove; a
// hundred show it:
//
//	go test ./node -run '^$' -bench Connect/standing -benchtime 100x
func BenchmarkConnect(b *testing.B) {
	const s, p = oneWayVia, oneWayPath
	exchange := 4 * (accessLink + serverLink)
	var table strings.Builder
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "class\truns\tmedian\tp95\tworst ms\tin delays\tmedian\tp95\tworst")
	for _, c := range []struct {
		name           string
		caller, callee terrain
		refuse         natlab.Refusal
		under          conditions
		goal           time.Duration // before the margin of 5 %
	}{
		{"open", open, open, natlab.Drop, conditions{}, 6 * p},
		{"standing, drop", home, home, natlab.Drop, conditions{}, s + 6*p},
		{"standing, RST", home, home, natlab.RST, conditions{}, s + 6*p},
		{"standing, ICMP", home, home, natlab.PortICMP, conditions{}, s + 6*p},
		{"standing, kernel", kernel, kernel, natlab.RST, conditions{}, s + 6*p},
		{"standing, carrier", home, home, natlab.Drop, underCarrier, s + 6*p},
		{"predicted caller", plusOne, home, natlab.Drop, conditions{}, 2*s + 6*p + exchange},
		{"predicted callee", home, plusOne, natlab.Drop, conditions{}, 2*s + 6*p + exchange},
		{"predicted both", plusOne, plusOne, natlab.Drop, conditions{}, 2*s + 6*p + exchange},
		{"predicted callee, RST", home, plusOne, natlab.RST, conditions{}, 2*s + 6*p + exchange},
		{"random to full cone", random, fullCone, natlab.Drop, conditions{}, s + 7*p},
		{"full cone to random", fullCone, random, natlab.Drop, conditions{}, s + 7*p},
		{"random to restricted", random, restricted, natlab.Drop, conditions{}, s + 7*p},
		{"birthday, random calls", random, home, natlab.Drop, conditions{}, 0},
		{"birthday, random called", home, random, natlab.Drop, conditions{}, 0},
		{"birthday, RST", random, home, natlab.RST, conditions{}, 0},
		{"random to random", random, random, natlab.Drop, conditions{}, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b)
			this := cell{c.caller, c.callee, c.refuse}
			pair := w.pair(this, c.under)
			o := &outcome{cell: this}
			var usable []time.Duration
			primed := 0
			for b.Loop() {
				r := pair.caller.do(order{Connect: pair.callee.Address})
				if o.add(r); r.Usable > 0 {
					usable = append(usable, r.Usable)
				}
				if this.class() == standing && r.Echo > neverAbove {
					b.Errorf("%v to the first echo, where never more than %v is right\n%s", r.Echo, neverAbove, strings.Join(r.Log, "\n"))
				}
				if strings.Contains(strings.Join(r.Log, "\n"), "primed") {
					primed++
				}
			}
			inMS := func(d time.Duration, unit string) { b.ReportMetric(float64(d)/float64(time.Millisecond), unit) }
			goal := c.goal
			if goal == s+6*p && 2*primed > o.runs {
				goal = s + 7*p // a primed caller waits for the callee's SYN
			}
			if len(usable) > 0 {
				inMS(median(usable), "usable-ms")
				inMS(median(o.times), "echo-ms")
				b.ReportMetric(float64(primed)/float64(o.runs), "primed")
			} else {
				inMS(median(o.times), "named-ms")
			}
			inMS(quantile(o.times, 0.95), "p95-ms")
			inMS(quantile(o.times, 1), "worst-ms")
			b.ReportMetric(100*o.rate(), "%ok")
			fmt.Fprintf(rows, "%s\t%d\t%s\t%s\t%s", c.name, o.runs, ms(median(o.times)), ms(quantile(o.times, 0.95)), ms(quantile(o.times, 1)))
			if goal > 0 {
				delays := inDelays(goal)
				fmt.Fprintf(rows, "\t%s", delays)
				for _, q := range []struct {
					name string
					of   float64
				}{{"", 0.5}, {"p95-", 0.95}, {"worst-", 1}} {
					x := float64(quantile(o.times, q.of)) / float64(goal)
					b.ReportMetric(x, q.name+"x("+delays+")")
					fmt.Fprintf(rows, "\t%.2f", x)
				}
			} else if k := this.class().goal(); k > 0 {
				b.ReportMetric(float64(median(o.times))/float64(k), "xgoal")
			}
			fmt.Fprintln(rows)
			b.ReportMetric(0, "ns/op") // one of many numbers, and not the telling one
			for _, p := range o.problems {
				b.Log(p)
			}
		})
	}
	_ = rows.Flush()
	fmt.Printf("\n%s\n", &table) // a log would be cut to ten lines
}

// neverAbove is what no connect may take where both mappings stand.
const neverAbove = 700 * time.Millisecond

// inDelays writes a time as the sum of path delays that it is.
func inDelays(d time.Duration) string {
	const s, p = oneWayVia, oneWayPath
	exchange := 4 * (accessLink + serverLink)
	switch d {
	case 6 * p:
		return "6p"
	case s + 6*p:
		return "s+6p"
	case s + 7*p:
		return "s+7p"
	case 2*s + 6*p + exchange:
		return "2s+6p+stun"
	}
	return d.String()
}

// BenchmarkIdleNode measures the process of a node that only waits, on a
// broker and behind a NAT: resident memory (of the test binary, which holds
// more than a node), and goroutines.
func BenchmarkIdleNode(b *testing.B) {
	w := newWorld(b)
	a := w.node(w.behind("idle", &natlab.NAT{}))
	var r reply
	for b.Loop() {
		r = a.do(order{Report: true})
	}
	b.ReportMetric(float64(r.RSS)/1024, "MiB-resident")
	b.ReportMetric(float64(r.Routines), "goroutines")
	b.ReportMetric(0, "ns/op")
}
