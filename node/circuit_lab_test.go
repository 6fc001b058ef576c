package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// circuitPair is a caller and a callee that nothing but a node on a host of its
// own brings together. It relays for one of the two, who names it, and admits
// nobody else for anything.
func (w *world) circuitPair(host, caller, callee *natlab.Host, callersOwn bool) (a, b, relay *agent) {
	w.t.Helper()
	secretA, idA := newKey(w.t)
	secretB, idB := newKey(w.t)
	owner := idB
	if callersOwn {
		owner = idA
	}
	relay = w.node(host, func(r *role) { r.RelayFor, r.Nobody = []string{owner}, true })
	named := func(secret string, has bool) func(*role) {
		return func(r *role) {
			if r.Key = secret; has {
				r.By = []string{relay.Address}
			}
		}
	}
	a = w.node(caller, named(secretA, callersOwn))
	b = w.node(callee, named(secretB, !callersOwn))
	return a, b, relay
}

// Two between whom no punch has a chance meet through a node, which may sit
// behind a NAT itself, whether the caller knows that node or the callee.
func TestCircuitBetweenRandomPorts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		middle     terrain
		callersOwn bool
	}{
		{"open, the caller's", open, true},
		{"full cone, the caller's", fullCone, true},
		{"full cone, the callee's", fullCone, false},
		{"restricted, the caller's", restricted, true},
		{"restricted, the callee's", restricted, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b, relay := w.circuitPair(w.behind("relay", c.middle.nat), w.behind("caller", random.nat), w.behind("callee", random.nat), c.callersOwn)
			r := a.mustConnect(b.Address, 1<<20)
			if r.Via != node.Relay || !strings.Contains(relay.Address, r.By) || r.By == "" {
				t.Errorf("via %s by %s", r.Via, r.By)
			}
			t.Logf("usable after %v, first echo after %v\n%s", r.Usable, r.Echo, strings.Join(r.Log, "\n"))
		})
	}
}

// A connection that began on a circuit goes over to a direct path as soon as there
// is one, and nothing is lost, repeated or reordered.
func TestCircuitIsLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("long: not with -short")
	}
	t.Parallel()
	w := newWorld(t)
	near, far := w.nat(*portRestricted(natlab.Drop)), w.nat(*portRestricted(natlab.Drop))
	a, b, _ := w.circuitPair(w.behind("relay", nil), w.host("caller", near), w.host("callee", far), true)
	toCallee, toCaller := far.Externals()[0].String(), near.Externals()[0].String()
	a.must(order{Block: toCallee})
	b.must(order{Block: toCaller})
	first := a.do(order{Connect: b.Address, Keep: true})
	if first.Error != "" || first.Via != node.Relay || first.By == "" {
		t.Fatalf("connected via %q by %q: %s", first.Via, first.By, first.Error)
	}
	a.must(order{Flow: 6 << 20, Rate: 1 << 20}) // outlasts the wait
	a.must(order{Pass: toCallee})
	b.must(order{Pass: toCaller})
	f := &transfer{t: t, caller: a, share: 1 << 19}
	f.until("a direct path instead of the circuit", func(r reply) bool { return r.Via != node.Relay })
	f.ends()
}

// Where the node that relays falls silent in the middle of a transfer, the session
// goes on through another one.
func TestCircuitIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("long: not with -short")
	}
	t.Parallel()
	w := newWorld(t)
	secretA, idA := newKey(t)
	boxes := make(map[string]*natlab.Box) // by the address of the node
	var by []string
	for _, name := range []string{"first", "second"} {
		box := w.nat(*fullCone.nat)
		relay := w.node(w.host(name, box), func(r *role) { r.RelayFor, r.Nobody = []string{idA}, true })
		by, boxes[relay.Address] = append(by, relay.Address), box
	}
	caller := w.node(w.behind("caller", random.nat), func(r *role) { r.Key, r.By = secretA, by })
	callee := w.node(w.behind("callee", random.nat))
	first := caller.do(order{Connect: callee.Address, Keep: true})
	if first.Error != "" || first.Via != node.Relay {
		t.Fatalf("connected via %q: %s", first.Via, first.Error)
	}
	caller.must(order{Flow: 2 << 20, Rate: 1 << 20})
	f := &transfer{t: t, caller: caller, share: 1 << 19}
	f.goesOn("through the first")
	begun := time.Now()
	for address, box := range boxes {
		if strings.Contains(address, first.By) {
			box.Cut(true)
		}
	}
	f.moves("through the other, as that one is silent")
	if f.moved == 0 {
		t.Error("it has not moved")
	}
	t.Logf("it took %v", time.Since(begun))
	f.ends()
}
