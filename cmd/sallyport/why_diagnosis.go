package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// How a step went.
const (
	stepOK      = "ok"
	stepFailed  = "failed"
	stepSkipped = "skipped" // not needed, or not come to
)

type (
	whyStep   = api.WhyStep
	whyMoment = api.WhyMoment
)

func stepOf(name, state, what string) whyStep { return whyStep{Step: name, State: state, What: what} }

// diagnosis is what the evidence says; its JSON is a promise.
type diagnosis api.Diagnosis

// diagnose walks the steps of connecting and says where it stops.
func diagnose(e evidence) diagnosis {
	d := diagnosis{Event: "why", Target: e.target, Steps: []whyStep{}, Timeline: []whyMoment{}}
	if e.naming != nil {
		d.Steps = append(d.Steps, stepOf("name", stepFailed, e.naming.what))
		d.stop(e.naming)
		return d
	}
	peer := e.found.Address
	d.Peer = peer.Key.String()
	for _, m := range e.timeline {
		d.Timeline = append(d.Timeline, whyMoment{MS: milliseconds(m.At), Strategy: string(m.Strategy), What: m.What, Error: m.Chain()})
	}
	d.Steps = []whyStep{e.nameStep()}
	if e.session != "" {
		d.Steps = append(d.Steps, stepOf("session", stepOK, e.session))
	}
	d.Steps = append(d.Steps, e.networkStep(), e.stunStep(), e.brokerStep(), e.signalStep(), e.planStep())
	for _, s := range node.Strategies() {
		d.Steps = append(d.Steps, e.strategyStep(s))
	}
	d.Steps = append(d.Steps, e.admissionStep())
	if e.failure != nil {
		d.stop(e.failure)
		return d
	}
	d.Possible, d.Via, d.By = true, string(e.via), e.by
	d.Verdict = fmt.Sprintf("A connection is possible: with %s, %s, in %.0f ms.", e.remote, viaWords(e.via, e.by), milliseconds(e.took))
	return d
}

// stop notes where it stops: at the first failed step that the others need, or
// else at the last one.
func (d *diagnosis) stop(f *failure) {
	d.Status, d.Hint = f.status, f.hint
	failed := func(name string) bool {
		return slices.ContainsFunc(d.Steps, func(s whyStep) bool { return s.Step == name && s.State == stepFailed })
	}
	order := []string{"name", "admission", "network", "brokers", "signal", "plan"}
	for _, s := range node.Strategies() {
		order = append(order, string(s))
	}
	what := strings.TrimSuffix(f.what, ".")
	if n := slices.IndexFunc(order, failed); n >= 0 {
		d.Stops = order[n]
		if f.status == statusFailed { // the words are those of all attempts
			what = d.Steps[slices.IndexFunc(d.Steps, func(s whyStep) bool { return s.Step == d.Stops })].What
		}
	}
	d.Verdict = "No connection: " + what + "."
}
