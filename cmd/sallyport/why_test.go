package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
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

func TestDiagnose(t *testing.T) {
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	broker, err := address.ParseBroker("tcp://192.0.2.1:1883")
	if err != nil {
		t.Fatal(err)
	}
	peer := address.Address{Key: key.Public(), Brokers: []address.Broker{broker}}
	symmetric := nat.Report{Local: netip.MustParseAddr("192.168.1.10"), External: netip.MustParseAddr("198.51.100.7"), Type: nat.Symmetric, Delta: nat.Delta{Kind: nat.Random}}
	blocked := nat.Report{Local: netip.MustParseAddr("192.168.1.10"), Type: nat.Blocked}
	noBroker := &mqtt.BrokersError{Op: "open", Brokers: []mqtt.BrokerError{{Broker: broker, Err: errors.New("connection refused")}}}
	base := evidence{target: "x", found: nickname.Resolution{Address: peer}, reports: []nat.Report{symmetric}, brokers: peer.Brokers}
	failing := func(status int, attempts ...node.Failure) evidence {
		e := base
		ce := &node.ConnectError{Peer: peer.Key, Attempts: attempts}
		e.err, e.failure = ce, &failure{status: status, what: ce.Error(), hint: ce.Hint()}
		return e
	}
	silent := failing(statusAbsent, node.Failure{Strategy: node.Punch, Err: &signaling.NoAnswerError{To: peer.Key, Copies: 5, Waited: 2 * time.Second}})
	deaf := failing(statusFailed, node.Failure{Strategy: node.Punch, Err: &signaling.NoAnswerError{To: peer.Key, Copies: 5, Acked: true}})
	refused := base
	refused.via, refused.remote, refused.err = node.Direct, "198.51.100.9:4001", link.ErrRefused
	refused.failure = explain(refused.err)
	offline := failing(statusNoNetwork, node.Failure{Strategy: node.Punch, Err: noBroker})
	offline.reports, offline.broker, offline.stun = []nat.Report{blocked}, noBroker, errors.New("no answer")
	unsignalled := failing(statusNoNetwork, node.Failure{Strategy: node.Punch, Err: noBroker})
	unsignalled.broker = noBroker
	theirs := failing(statusNoNetwork, node.Failure{Strategy: node.Punch, Err: noBroker})
	cannot := &punch.ImpossibleError{Caller: punch.Side{NAT: nat.Symmetric}, Callee: punch.Side{NAT: nat.Symmetric}}
	relayed := base
	relayed.via, relayed.remote, relayed.took = node.Relay, "198.51.100.9:3480", 120*time.Millisecond
	relayed.timeline = []node.Event{{Strategy: node.Punch, What: "ended: " + cannot.Error(), Err: cannot}, {Strategy: node.Direct, What: "ended: context canceled", Err: context.Canceled}, {At: time.Second, Strategy: node.Relay, What: "proven"}}
	fine := base
	fine.via, fine.remote, fine.took = node.Punch, "198.51.100.9:4001", 120*time.Millisecond
	fine.timeline = []node.Event{{Strategy: node.Reverse, What: "asking the peer to dial us"}, {Strategy: node.Punch, What: "standing, both mappings stand"}, {At: time.Second, Strategy: node.Punch, What: "proven"}}
	switchedOff := fine
	switchedOff.timeline = append([]node.Event{{Strategy: node.LAN, What: "ended: not tried: switched off here"}}, fine.timeline...)
	unplugged := failing(statusNoNetwork, node.Failure{Strategy: node.Punch, Err: noBroker})
	unplugged.reports = nil

	for name, c := range map[string]struct {
		e      evidence
		stops  string // "" where it is possible
		status int
		has    []string // in what is printed
	}{
		"fine":           {fine, "", 0, []string{"A connection is possible: with 198.51.100.9:4001, through the NATs", "plan       ok      standing", "signal     ok", "lan        -       another way was faster", "reverse    -       another way was faster"}},
		"no lan":         {switchedOff, "", 0, []string{"lan        -       switched off here\n"}},
		"relayed":        {relayed, "", 0, []string{"plan       FAILED  no port can be predicted: our NAT is", "punch      FAILED  no port can be predicted", "direct     -       another way was faster"}},
		"bad address":    {evidence{target: "x", naming: &failure{status: statusMisused, what: "no", hint: "copy it"}}, "name", statusMisused, []string{"What would help: copy it."}},
		"unplugged":      {unplugged, "network", statusNoNetwork, []string{"no address on any network"}},
		"no network":     {offline, "network", statusNoNetwork, []string{"192.168.1.10: nothing outside answers", "stun       FAILED"}},
		"no broker":      {unsignalled, "brokers", statusNoNetwork, []string{"none of tcp://192.0.2.1:1883 is reached", "signal     -       there is no broker", "punch      FAILED  no broker to send a signal over\n"}},
		"their broker":   {theirs, "brokers", statusNoNetwork, []string{"ours are reached, but none on which the peer listens"}},
		"absent":         {silent, "signal", statusAbsent, []string{"5 copies were sent within 2s, and never acknowledged"}},
		"deaf":           {deaf, "punch", statusFailed, []string{"signal     ok      the peer has acknowledged it"}},
		"refused":        {refused, "admission", statusRefused, []string{"the peer refuses this node", "direct     ok"}},
		"refused signal": {failing(statusRefused, node.Failure{Strategy: node.Punch, Err: &signaling.RefusedError{By: peer.Key, Reason: signaling.RefusedPolicy}}), "admission", statusRefused, nil},
		"clock":          {failing(statusFailed, node.Failure{Strategy: node.Reverse, Err: &signaling.RefusedError{By: peer.Key, Reason: signaling.RefusedClock, Offset: -3 * time.Hour}}), "signal", statusFailed, []string{"the two clocks are 3h0m0s apart", "What would help: set the clocks"}},
		"impossible":     {failing(statusFailed, node.Failure{Strategy: node.Direct, Err: errors.New("no answer")}, node.Failure{Strategy: node.Punch, Err: cannot}), "plan", statusFailed, []string{"No connection: no port can be predicted", "random ports", "forward a TCP port"}},
	} {
		d := diagnose(c.e)
		var text bytes.Buffer
		d.print(&text, true)
		if d.Stops != c.stops || d.Status != c.status || d.Possible != (c.stops == "") {
			t.Errorf("%s: stops at %q with status %d, possible: %v\n%s", name, d.Stops, d.Status, d.Possible, &text)
		}
		if !d.Possible && d.Hint == "" {
			t.Errorf("%s: no hint", name)
		}
		for _, want := range c.has {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: there is no %q:\n%s", name, want, &text)
			}
		}
		if c.e.naming == nil && len(d.Steps) != 7+len(node.Strategies()) {
			t.Errorf("%s: %d steps", name, len(d.Steps))
		}
	}
}
