package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// evidence is what an attempt to connect has brought to light. What comes after
// a failure is zero.
type evidence struct {
	target string
	found  nickname.Resolution
	naming *failure // why the target names nobody

	reports      []nat.Report // of our networks
	broker, stun error        // what our node misses, as Node.Health has it
	brokers      []address.Broker
	strategies   []node.Strategy // that were allowed; none means all

	via      node.Strategy // empty where nothing came about
	by       string        // the id of the node that relays
	remote   string
	took     time.Duration
	timeline []node.Event
	err      error    // of Connect, or the peer's no
	failure  *failure // the same in words
}

// stepState is how a step went.
type stepState string

const (
	stepOK      stepState = "ok"
	stepFailed  stepState = "failed"
	stepSkipped stepState = "skipped" // not needed, or not come to
)

// whyStep is one step of connecting.
type whyStep struct {
	Step  string    `json:"step"`
	State stepState `json:"state"`
	What  string    `json:"what"`
}

// diagnosis is what the evidence says; its JSON is a promise.
type diagnosis struct {
	Event    string      `json:"event"`
	Target   string      `json:"target"`
	Peer     string      `json:"peer,omitempty"`
	Possible bool        `json:"possible"`
	Via      string      `json:"via,omitempty"`
	By       string      `json:"by,omitempty"`    // the id of the node that relays
	Stops    string      `json:"stops,omitempty"` // the step at which it stops
	Verdict  string      `json:"verdict"`
	Hint     string      `json:"hint,omitempty"`
	Status   int         `json:"status"`
	Steps    []whyStep   `json:"steps"`
	Timeline []whyMoment `json:"timeline"`
}

type whyMoment struct {
	MS       float64 `json:"ms"`
	Strategy string  `json:"strategy,omitempty"`
	What     string  `json:"what"`
}

// diagnose walks the steps of connecting and says where it stops.
func diagnose(e evidence) diagnosis {
	d := diagnosis{Event: "why", Target: e.target, Steps: []whyStep{}, Timeline: []whyMoment{}}
	if e.naming != nil {
		d.Steps = append(d.Steps, whyStep{"name", stepFailed, e.naming.what})
		d.stop(e.naming)
		return d
	}
	peer := e.found.Address
	d.Peer = peer.Key.String()
	for _, m := range e.timeline {
		d.Timeline = append(d.Timeline, whyMoment{milliseconds(m.At), string(m.Strategy), m.What})
	}
	d.Steps = []whyStep{e.nameStep(), e.networkStep(), e.stunStep(), e.brokerStep(), e.signalStep(), e.planStep()}
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

func (e evidence) nameStep() whyStep {
	what := fmt.Sprintf("the address of %s", e.found.Address.Key)
	switch {
	case !e.found.Name.IsZero():
		what = fmt.Sprintf("%s is %s", e.found.Name, e.found.Address.Key)
	case len(e.found.Address.Interfaces()) == 0:
		what = fmt.Sprintf("%s, who must be asked for the way", e.found.Address.Key)
	}
	if e.found.Warning != "" {
		what += " (" + e.found.Warning + ")"
	}
	return whyStep{"name", stepOK, what}
}

func (e evidence) networkStep() whyStep {
	if len(e.reports) == 0 {
		return whyStep{"network", stepFailed, "this machine has no address on any network"}
	}
	var parts []string
	state := stepFailed
	for _, r := range e.reports {
		if !r.Local.IsValid() {
			continue // it has not been asked about
		}
		if r.Type != nat.Blocked && (e.broker == nil || e.stun == nil) {
			state = stepOK
		}
		parts = append(parts, networkWords(r))
	}
	if len(parts) == 0 {
		return whyStep{"network", stepFailed, "nothing has been found out about the networks here"}
	}
	return whyStep{"network", state, strings.Join(parts, "; ")}
}

func networkWords(r nat.Report) string {
	switch {
	case r.Type == nat.Blocked:
		return fmt.Sprintf("%v: nothing outside answers", r.Local)
	case !r.External.IsValid():
		return fmt.Sprintf("%v: how it looks from outside is not known", r.Local)
	case !r.NATed():
		return fmt.Sprintf("%v: no NAT (%v)", r.Local, r.Type)
	}
	ports := ""
	if r.Type == nat.Symmetric {
		ports = ", random ports"
		if r.Delta.Predictable() {
			ports = ", predictable ports"
		}
	}
	return fmt.Sprintf("%v: seen as %v, NAT %v%s", r.Local, r.External, r.Type, ports)
}

func (e evidence) stunStep() whyStep {
	if e.stun != nil {
		return whyStep{"stun", stepFailed, "no STUN server answered, so that this machine does not know its NAT"}
	}
	return whyStep{"stun", stepOK, "a STUN server answered"}
}

// brokerStep is about the brokers of both: a caller meets the peer on the
// peer's, unless it was given others.
func (e evidence) brokerStep() whyStep {
	var names []string
	for _, b := range e.brokers {
		names = append(names, b.String())
	}
	list := strings.Join(names, ", ")
	var theirs *mqtt.BrokersError
	switch {
	case e.broker == nil && (errors.As(e.err, &theirs) && theirs.Op == "open" || errors.Is(e.err, signaling.ErrNoBroker)):
		return whyStep{"brokers", stepFailed, "ours are reached, but none on which the peer listens: " + e.err.Error()}
	case e.broker != nil && e.via != "" && e.via != node.Direct && e.via != node.LAN:
		return whyStep{"brokers", stepOK, "one of the peer's is reached"}
	case e.broker != nil:
		return whyStep{"brokers", stepFailed, fmt.Sprintf("none of %s is reached", list)}
	}
	return whyStep{"brokers", stepOK, "reached, out of " + list}
}

// signalStep is about the messages to the peer.
func (e evidence) signalStep() whyStep {
	var no *signaling.RefusedError
	var silent *signaling.NoAnswerError
	switch {
	case e.via == node.LAN || e.via == node.Direct:
		return whyStep{"signal", stepSkipped, "not needed"}
	case e.via != "":
		return whyStep{"signal", stepOK, "the peer has answered"}
	case errors.As(e.err, &no) && no.Reason == signaling.RefusedClock:
		return whyStep{"signal", stepFailed, fmt.Sprintf("%v: the two clocks are %v apart", no, no.Offset.Abs().Round(time.Second))}
	case errors.As(e.err, &no):
		return whyStep{"signal", stepFailed, no.Error()}
	case acknowledged(e.err):
		return whyStep{"signal", stepOK, "the peer has acknowledged it"}
	case errors.As(e.err, &silent):
		return whyStep{"signal", stepFailed, fmt.Sprintf("%d copies were sent within %v, and never acknowledged: the peer is off, is on no common broker, or does not admit this node", silent.Copies, silent.Waited.Round(100*time.Millisecond))}
	case errors.Is(e.err, signaling.ErrNoBroker), brokerless(e.err):
		return whyStep{"signal", stepSkipped, "there is no broker to send it over"}
	case e.told("the peer told its address"), e.told("is seen as"):
		return whyStep{"signal", stepOK, "the peer has answered"}
	}
	return whyStep{"signal", stepSkipped, "not come to"}
}

// told reports whether the timeline has a step with these words.
func (e evidence) told(words string) bool {
	return slices.ContainsFunc(e.timeline, func(m node.Event) bool { return strings.Contains(m.What, words) })
}

// acknowledged reports whether a message of the attempt has been.
func acknowledged(err error) bool {
	var ce *node.ConnectError
	if !errors.As(err, &ce) {
		return false
	}
	return slices.ContainsFunc(ce.Attempts, func(f node.Failure) bool {
		var silent *signaling.NoAnswerError
		return errors.As(f.Err, &silent) && silent.Acked
	})
}

// planStep is about how the two NATs are to be opened.
func (e evidence) planStep() whyStep {
	var impossible *punch.ImpossibleError
	if errors.As(e.err, &impossible) {
		return whyStep{"plan", stepFailed, impossible.Error()}
	}
	for _, m := range e.timeline {
		if m.Strategy == node.Punch && !strings.HasPrefix(m.What, "ended: ") {
			return whyStep{"plan", stepOK, m.What}
		}
	}
	return whyStep{"plan", stepSkipped, "no punch was planned"}
}

// strategyStep is the outcome of one strategy.
func (e evidence) strategyStep(s node.Strategy) whyStep {
	name := string(s)
	if e.via == s {
		what := fmt.Sprintf("connected with %s", e.remote)
		if e.by != "" {
			what = fmt.Sprintf("connected through node %s at %s", e.by, e.remote)
		}
		return whyStep{name, stepOK, what}
	}
	if len(e.strategies) > 0 && !slices.Contains(e.strategies, s) {
		return whyStep{name, stepSkipped, "left out by --strategies"}
	}
	var ce *node.ConnectError
	if errors.As(e.err, &ce) {
		for _, f := range ce.Attempts {
			if f.Strategy != s {
				continue
			}
			if what, moot := strings.CutPrefix(f.Err.Error(), "not tried: "); moot {
				return whyStep{name, stepSkipped, what}
			}
			return whyStep{name, stepFailed, f.Err.Error()}
		}
	}
	for _, m := range slices.Backward(e.timeline) {
		if m.Strategy == s {
			return whyStep{name, stepSkipped, m.What}
		}
	}
	if e.via != "" {
		return whyStep{name, stepSkipped, "another way was faster"}
	}
	return whyStep{name, stepSkipped, "not come to"}
}

// admissionStep is the peer's own word.
func (e evidence) admissionStep() whyStep {
	var no *signaling.RefusedError
	switch {
	case errors.Is(e.err, link.ErrRefused), errors.As(e.err, &no) && no.Reason == signaling.RefusedPolicy:
		return whyStep{"admission", stepFailed, "the peer refuses this node"}
	case e.err == nil:
		return whyStep{"admission", stepOK, "the peer admits this node"}
	case e.via != "":
		return whyStep{"admission", stepFailed, plainly(e.err)}
	}
	return whyStep{"admission", stepSkipped, "not come to"}
}
