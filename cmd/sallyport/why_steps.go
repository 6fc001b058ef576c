package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

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
	return stepOf("name", stepOK, what)
}

func (e evidence) networkStep() whyStep {
	if len(e.reports) == 0 {
		return stepOf("network", stepFailed, "this machine has no address on any network")
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
		return stepOf("network", stepFailed, "nothing has been found out about the networks here")
	}
	return stepOf("network", state, strings.Join(parts, "; "))
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
		return stepOf("stun", stepFailed, "no STUN server answered, so that this machine does not know its NAT")
	}
	return stepOf("stun", stepOK, "a STUN server answered")
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
		return stepOf("brokers", stepFailed, "ours are reached, but none on which the peer listens: "+unreached(e.err))
	case e.broker != nil && e.via != "" && e.via != node.Direct && e.via != node.LAN:
		return stepOf("brokers", stepOK, "one of the peer's is reached")
	case e.broker != nil:
		return stepOf("brokers", stepFailed, fmt.Sprintf("none of %s is reached", list))
	}
	return stepOf("brokers", stepOK, "reached, out of "+list)
}

// unreached is what the brokers met, out of all that a call has.
func unreached(err error) string {
	var brokers *mqtt.BrokersError
	if errors.As(err, &brokers) {
		return brokers.Error()
	}
	return signaling.ErrNoBroker.Error()
}

// signalStep is about the messages to the peer.
func (e evidence) signalStep() whyStep {
	var no *signaling.RefusedError
	var silent *signaling.NoAnswerError
	switch {
	case e.via == node.LAN || e.via == node.Direct:
		return stepOf("signal", stepSkipped, "not needed")
	case e.via != "":
		return stepOf("signal", stepOK, "the peer has answered")
	case errors.As(e.err, &no) && no.Reason == signaling.RefusedClock:
		return stepOf("signal", stepFailed, fmt.Sprintf("%v: the two clocks are %v apart", no, no.Offset.Abs().Round(time.Second)))
	case errors.As(e.err, &no):
		return stepOf("signal", stepFailed, no.Error())
	case acknowledged(e.err):
		return stepOf("signal", stepOK, "the peer has acknowledged it")
	case errors.As(e.err, &silent):
		return stepOf("signal", stepFailed, fmt.Sprintf("%d copies were sent within %v, and never acknowledged: the peer is off, is on no common broker, or does not admit this node", silent.Copies, silent.Waited.Round(100*time.Millisecond)))
	case errors.Is(e.err, signaling.ErrNoBroker), brokerless(e.err):
		return stepOf("signal", stepSkipped, "there is no broker to send it over")
	case e.told("the peer told its address"), e.told("is seen as"):
		return stepOf("signal", stepOK, "the peer has answered")
	}
	return stepOf("signal", stepSkipped, "not come to")
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
		return stepOf("plan", stepFailed, impossible.Error())
	}
	for _, m := range e.timeline { // of what was connected otherwise
		if m.Strategy == node.Punch && errors.As(m.Err, &impossible) {
			return stepOf("plan", stepFailed, impossible.Error())
		}
	}
	for _, m := range e.timeline {
		if m.Strategy == node.Punch && !strings.HasPrefix(m.What, "ended: ") {
			return stepOf("plan", stepOK, m.What)
		}
	}
	return stepOf("plan", stepSkipped, "no punch was planned")
}

// strategyStep is the outcome of one strategy.
func (e evidence) strategyStep(s node.Strategy) whyStep {
	name := string(s)
	if e.via == s {
		what := fmt.Sprintf("connected with %s", e.remote)
		if e.by != "" {
			what = fmt.Sprintf("connected through node %s at %s", e.by, e.remote)
		}
		return stepOf(name, stepOK, what)
	}
	if len(e.strategies) > 0 && !slices.Contains(e.strategies, s) {
		return stepOf(name, stepSkipped, "left out by --strategies")
	}
	var ce *node.ConnectError
	if errors.As(e.err, &ce) {
		for _, f := range ce.Attempts {
			if f.Strategy != s {
				continue
			}
			if what, moot := strings.CutPrefix(f.Err.Error(), "not tried: "); moot {
				return stepOf(name, stepSkipped, what)
			}
			if brokerless(f.Err) { // what each endpoint met is a long list, and the brokers have their step
				return stepOf(name, stepFailed, "no broker to send a signal over")
			}
			return stepOf(name, stepFailed, f.Err.Error())
		}
	}
	for _, m := range slices.Backward(e.timeline) {
		if m.Strategy != s {
			continue
		}
		what, ended := strings.CutPrefix(m.What, "ended: ")
		what, moot := strings.CutPrefix(what, "not tried: ")
		switch {
		case e.via != "" && errors.Is(m.Err, context.Canceled):
			return stepOf(name, stepSkipped, "another way was faster")
		case e.via != "" && !ended:
			return stepOf(name, stepSkipped, "another way was faster")
		case ended && !moot:
			return stepOf(name, stepFailed, what)
		}
		return stepOf(name, stepSkipped, what)
	}
	if e.via != "" {
		return stepOf(name, stepSkipped, "another way was faster")
	}
	return stepOf(name, stepSkipped, "not come to")
}

// admissionStep is the peer's own word.
func (e evidence) admissionStep() whyStep {
	var no *signaling.RefusedError
	switch {
	case errors.Is(e.err, link.ErrRefused), errors.As(e.err, &no) && no.Reason == signaling.RefusedPolicy:
		return stepOf("admission", stepFailed, "the peer refuses this node")
	case e.err == nil:
		return stepOf("admission", stepOK, "the peer admits this node")
	case e.via != "":
		return stepOf("admission", stepFailed, pipe.Plainly(e.err))
	}
	return stepOf("admission", stepSkipped, "not come to")
}
