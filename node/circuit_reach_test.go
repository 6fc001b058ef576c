package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

// owner is for whom a node relays: who names it, and whom it names.
type owner string

const (
	callersOwn owner = "the caller's"
	calleesOwn owner = "the callee's"
	ofBoth     owner = "both's"
)

// passage is a caller and a callee that have nothing but a node to meet through,
// and where that is.
type passage struct {
	caller, callee, middle terrain
	port                   uint16 // where the node listens; 0 is any
	of                     owner
}

func (p passage) String() string {
	at := p.middle.name
	if p.port != 0 {
		at += fmt.Sprintf(" at port %d", p.port)
	}
	return fmt.Sprintf("%s × %s by %s, %s", p.caller.name, p.callee.name, at, p.of)
}

// leg is one half of a passage, between the node that relays and one of the two.
type leg struct {
	end    terrain
	middle terrain
	port   uint16
	listed bool // whoever is called there has named the other
}

// stands is what docs/relay.md has for a leg.
func (l leg) stands() bool {
	switch {
	case l.end.name == only443.name:
		return l.middle.nat == nil && l.port == 443
	case l.middle.takesStrangers(), !l.end.random():
		return true
	}
	return l.listed
}

// legs are the two: the caller calls the node, and so does the callee where the
// node is its own; else the node calls the callee.
func (p passage) legs() (near, far leg) {
	near = leg{p.caller, p.middle, p.port, p.of != calleesOwn}
	far = leg{p.callee, p.middle, p.port, p.of != callersOwn}
	return near, far
}

func (p passage) stands() bool {
	near, far := p.legs()
	return near.stands() && far.stands()
}

// passages are all that there are; the node's port is 443 where that opens more
// than any other does.
func passages() []passage {
	var all []passage
	ends := []terrain{random, plusOne, home, noUDP, only443}
	for _, of := range []owner{callersOwn, calleesOwn, ofBoth} {
		for _, a := range ends {
			for _, b := range ends {
				for _, middle := range []terrain{open, fullCone, home} {
					p := passage{a, b, middle, 0, of}
					if middle.nat == nil {
						p.port = 443
					}
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// circuitTold is how soon somebody who can't be led to a peer is told, where
// nothing but circuits is tried: node.circuitTimeout, and what a slow machine
// takes for it.
const circuitTold = 12*time.Second + 2*time.Second

// Wherever the node that relays is, and whoever has named it, the two meet through
// it if each of the two legs stands, as docs/relay.md has it. Elsewhere the caller
// is told soon, with a remedy.
//
//	go test ./node -run TestCircuitPassages -reach=all -parallel 4
func TestCircuitPassages(t *testing.T) {
	t.Parallel()
	list := []passage{
		{random, random, home, 0, ofBoth},
		{random, home, home, 0, calleesOwn},    // the caller is not named
		{plusOne, random, home, 0, callersOwn}, // the callee has not named the node
		{home, only443, open, 0, callersOwn},
		{only443, only443, open, 443, callersOwn},
		{only443, home, open, 0, callersOwn},
		{home, only443, fullCone, 0, calleesOwn},
	}
	switch {
	case *reachFlag == "all":
		list = passages()
	case testing.Short():
		list = list[:2]
	}
	for _, p := range list {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r := p.play(t)
			if r.Error == "" {
				t.Logf("first echo after %v", r.Echo)
			} else {
				t.Logf("after %v: %s (hint: %s)", r.Took, r.Error, r.Hint)
			}
			near, far := p.legs()
			switch {
			case p.stands() != (r.Error == "") && !near.byLuck() && !far.byLuck():
				t.Errorf("connected: %v\n%s", r.Error == "", strings.Join(r.Log, "\n"))
			case r.Error == "" && r.Via != node.Relay:
				t.Errorf("via %s", r.Via)
			case r.Error != "" && r.Took > circuitTold:
				t.Error("not told in time")
			case r.Error != "" && !p.stands() && !strings.Contains(r.Hint, p.remedy()):
				t.Errorf("the hint does not say %q", p.remedy())
			}
		})
	}
}

// byLuck reports whether the leg takes a birthday, which may fail.
func (l leg) byLuck() bool { return l.stands() && l.end.random() && !l.middle.takesStrangers() }

// remedy is what the hint must say: what would make the leg stand that is the
// first not to. A node of the callee's is called by the callee before the caller
// hears of it.
func (p passage) remedy() string {
	near, far := p.legs()
	end, remedy := near.end, "name this node by its id with --relay-for"
	if near.stands() || p.of == calleesOwn && !far.stands() {
		end, remedy = far.end, "have the peer name that node with --relay"
	}
	if end.name == only443.name {
		return "--port 443"
	}
	return remedy
}

// play has the caller connect, by nothing but the node.
func (p passage) play(t *testing.T) reply {
	w := newWorld(t)
	gate := w.host("gate", nil)
	w.start(gate, role{Serve: []string{gate.Addr().String()}, MQTT: "443"})
	common := func(r *role) { r.Brokers = []string{"tcp://" + gate.Addr().String() + ":443"} }
	secretA, idA := newKey(t)
	secretB, idB := newKey(t)
	relay := w.node(w.behind("relay", p.middle.nat), common, func(r *role) {
		r.Nobody, r.Port = true, p.port
		if p.of != calleesOwn {
			r.RelayFor = append(r.RelayFor, idA)
		}
		if p.of != callersOwn {
			r.RelayFor = append(r.RelayFor, idB)
		}
	})
	caller := w.node(w.behind("caller", p.caller.nat), common, func(r *role) {
		r.Key, r.Only = secretA, []node.Strategy{node.Relay}
		if p.of != calleesOwn {
			r.By = []string{relay.Address}
		}
	})
	callee := w.node(w.behind("callee", p.callee.nat), common, func(r *role) {
		r.Key, r.Only = secretB, []node.Strategy{node.Relay}
		if p.of != callersOwn {
			r.By = []string{relay.Address}
		}
	})
	var r reply
	for range 3 { // on a slow machine an answer may be late, and then this is the hint
		if r = caller.do(order{Connect: callee.Address, Bytes: 1 << 16}); !strings.HasSuffix(r.Hint, "try again") {
			break
		}
	}
	return r
}
