package node_test

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// renderMatrix writes the outcomes as a Markdown page.
func renderMatrix(all []*outcome, took time.Duration) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# The matrix, measured\n")
	say("Every pair of networks that two peers may live in, each in a laboratory of its")
	say("own with real kernel TCP: how many connects in a row succeeded, and how long")
	say("they took from Connect to the first echo of five bytes. What the words mean,")
	say("and why the numbers are what they are, is in [punching.md](punching.md).\n")
	say("Written %s on Linux %s, in %v, by\n", time.Now().UTC().Format("2006-01-02"), kernelRelease(), took.Round(time.Second))
	say("```\n%s\n```\n", commandLine())
	say("Geometry: access links of %v one way each and %v at the server, so that peers", accessLink, serverLink)
	say("are p = %v apart and s = %v through the broker.\n", oneWayPath, oneWayVia)

	say("## By class\n")
	say("| class | cells | connects | success | median ms | 95th percentile | worst | goal for the median |")
	say("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, k := range classes {
		var of []*outcome
		for _, o := range all {
			if o.cell.class() == k {
				of = append(of, o)
			}
		}
		if len(of) == 0 {
			continue
		}
		sum, goal := pool(of), "–"
		if k.goal() > 0 {
			goal = ms(k.goal())
		}
		say("| %s | %d | %d | %s | %s | %s | %s | %s |", k, len(of), sum.runs, percent(sum),
			ms(median(sum.times)), ms(quantile(sum.times, 0.95)), ms(quantile(sum.times, 1)), goal)
	}
	say("\nAn impossible pair succeeds by saying so, with the reason, in under %v; its times are those.", namedWithin)

	for _, refuse := range refusals {
		b.WriteString(renderGrid(all, refuse))
	}

	say("\n## Below %.0f %%\n", 100*cellRate)
	below := 0
	for _, o := range worstFirst(all) {
		if o.rate() < cellRate {
			below++
			say("- %s (%s): %d of %d; last, %s", o.cell, o.cell.class(), o.good, o.runs, o.problems[len(o.problems)-1])
		}
	}
	if below == 0 {
		say("None.")
	}
	return b.String()
}

// renderGrid is the matrix for one kind of refusal: a row for each caller.
func renderGrid(all []*outcome, refuse natlab.Refusal) string {
	at := map[string]*outcome{}
	for _, o := range all {
		at[o.cell.String()] = o
	}
	var b, rows strings.Builder
	fmt.Fprintf(&b, "\n## NATs that answer strangers with %s\n\n", strings.Replace(refusalName(refuse), "drop", "nothing", 1))
	b.WriteString("Rows call columns. Each cell: success, median and worst time in ms.\n\n| |")
	for _, callee := range terrains {
		fmt.Fprintf(&b, " %s |", callee.name)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(terrains)) + "\n")
	for _, caller := range terrains {
		found := false
		fmt.Fprintf(&rows, "| %s |", caller.name)
		for _, callee := range terrains {
			o := at[cell{caller, callee, refuse}.String()]
			found = found || o != nil
			fmt.Fprintf(&rows, " %s |", field(o))
		}
		rows.WriteString("\n")
		if found {
			b.WriteString(rows.String())
		}
		rows.Reset()
	}
	if o := at[cell{refusesCrossed, refusesCrossed, refuse}.String()]; o != nil {
		fmt.Fprintf(&b, "\nTwo port-restricted NATs that both refuse simultaneous open: %s.\n", field(o))
	}
	return b.String()
}

func field(o *outcome) string {
	if o == nil {
		return ""
	}
	s := fmt.Sprintf("%s, %s/%s", percent(*o), ms(median(o.times)), ms(quantile(o.times, 1)))
	switch {
	case o.cell.class() == impossible && o.good == o.runs:
		return "impossible, said after " + ms(median(o.times))
	case o.rate() < cellRate:
		return "**" + s + "**"
	}
	return s
}

func percent(o outcome) string { return fmt.Sprintf("%.4g %%", 100*o.rate()) }

// commandLine says how the table is made again.
func commandLine() string {
	s := "go test ./node -run TestMatrix -matrix=" + *matrixFlag
	if *runsFlag > 0 {
		s += fmt.Sprintf(" -matrix.runs=%d", *runsFlag)
	}
	if p := flag.Lookup("test.parallel"); p != nil {
		s += " -parallel " + p.Value.String()
	}
	return s + " -matrix.out=" + *outFlag
}
