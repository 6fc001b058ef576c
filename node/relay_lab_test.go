package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

const relaySecret = "a secret for the lab"

// relayHost adds a host with a relay, at that port, and gives its URL with
// secret, percent-encoded. A broker and a STUN server are beside it.
func (w *world) relayHost(port string) (host *natlab.Host, at string) {
	w.t.Helper()
	h := w.host("relay", nil)
	at = h.Addr().String() + ":" + port
	w.start(h, role{Serve: []string{h.Addr().String()}, TURN: at})
	return h, at
}

func relayURL(secret, at string) string {
	return "turn:" + strings.ReplaceAll(secret, " ", "%20") + "@" + at
}

// relayedPair is two nodes of which the caller knows a relay.
func (w *world) relayedPair(a, b *natlab.NAT, url string, only ...node.Strategy) nodePair {
	w.t.Helper()
	return nodePair{
		caller: w.node(w.behind("caller", a), func(r *role) { r.Relays, r.Only = []string{url}, only }),
		callee: w.node(w.behind("callee", b)),
	}
}

// What nobody can punch, a relay connects.
func TestRelayBetweenRandomPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, at := w.relayHost("3480")
	p := w.relayedPair(random.nat, random.nat, relayURL(relaySecret, at))
	r := p.caller.mustConnect(p.callee.Address, 1<<20)
	if r.Via != node.Relay {
		t.Errorf("via %s", r.Via)
	}
	t.Logf("usable after %v, first echo after %v", r.Usable, r.Echo)
}

// No UDP for the caller, and of TCP only what leaves for port 443: a broker and
// a relay there are enough.
func TestRelayThroughPort443(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, at := w.relayHost("443")
	gate := w.host("gate", nil)
	w.start(gate, role{Serve: []string{gate.Addr().String()}, MQTT: "443"})
	broker := []string{"tcp://" + gate.Addr().String() + ":443"}
	strict := *random.nat
	strict.UDPBlocked, strict.OnlyTCPPorts = true, []uint16{443}
	caller := w.node(w.behind("caller", &strict), func(r *role) {
		r.Brokers, r.Relays = broker, []string{relayURL(relaySecret, at)}
	})
	callee := w.node(w.behind("callee", random.nat), func(r *role) { r.Brokers = broker })
	r := caller.mustConnect(callee.Address, 1<<16)
	if r.Via != node.Relay {
		t.Errorf("via %s", r.Via)
	}
	t.Logf("usable after %v", r.Usable)
}

// The caller has no relay, and the callee has; or the callee gets out to
// nothing but the relay, and admits everyone.
func TestRelayOnOneSide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		caller, callee terrain
		calleeHas      bool
		listed         bool
	}{
		{"the callee's, who gets out to port 443 only", random, only443, true, false},
		{"the callee's, lent to a caller who gets out to port 443 only", only443, random, true, true},
		{"the caller's, lent to a callee who knows nobody", random, only443, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, at := w.relayHost("443")
			gate := w.host("gate", nil)
			w.start(gate, role{Serve: []string{gate.Addr().String()}, MQTT: "443"})
			secret, id := newKey(t)
			common := func(has bool) func(*role) {
				return func(r *role) {
					r.Brokers = []string{"tcp://" + gate.Addr().String() + ":443"}
					if has {
						r.Relays = []string{relayURL(relaySecret, at)}
					}
				}
			}
			caller := w.node(w.behind("caller", c.caller.nat), common(!c.calleeHas), func(r *role) { r.Key = secret })
			callee := w.node(w.behind("callee", c.callee.nat), common(c.calleeHas), func(r *role) {
				if c.listed {
					r.Allow = []string{id}
				}
			})
			r := caller.mustConnect(callee.Address, 1<<16)
			if r.Via != node.Relay {
				t.Errorf("via %s", r.Via)
			}
			t.Logf("first echo after %v\n%s", r.Echo, strings.Join(r.Log, "\n"))
		})
	}
}

// relayedLate connects again where a relay was quicker than a direct path: on a busy
// machine that takes longer than the relay waits for it, which is never less than
// relayWaits.
func relayedLate(t *testing.T, r reply, again func() reply) reply {
	t.Helper()
	for n := 1; n < tries && r.Via == node.Relay; n++ {
		if r.Usable < relayWaits && !has(r, "punch ended") {
			t.Errorf("by a relay after %v, which did not wait for the others\n%s", r.Usable, strings.Join(r.Log, "\n"))
		}
		r = again()
	}
	return r
}

// relayWaits is how long the other ways have before a relay's turn comes, as long
// as one of them has not failed.
const relayWaits = 1500 * time.Millisecond

// A relay is never used where there is another way.
func TestRelayIsTheLastResort(t *testing.T) {
	t.Parallel()
	for _, c := range []cell{{home, home, natlab.Drop}, {open, open, natlab.Drop}, {home, fullCone, natlab.RST}, {fullCone, random, natlab.Drop}, {plusOne, home, natlab.Drop}} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, at := w.relayHost("3480")
			p := w.relayedPair(c.caller.nat, c.callee.nat, relayURL(relaySecret, at))
			for range 3 {
				connect := func() reply { return p.caller.mustConnect(p.callee.Address, 100) }
				if r := relayedLate(t, connect(), connect); r.Via == node.Relay {
					t.Errorf("via the relay:\n%s", strings.Join(r.Log, "\n"))
				}
			}
		})
	}
}

// A connection that loss has driven to a relay leaves it again.
func TestRelayIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, at := w.relayHost("3480")
	under := conditions{loss: 0.05}
	caller := w.node(w.settle("caller", home, natlab.Drop, under), func(r *role) { r.Relays = []string{relayURL(relaySecret, at)} })
	callee := w.node(w.settle("callee", home, natlab.Drop, under))
	for range 5 {
		r := caller.do(order{Connect: callee.Address, Keep: true})
		if r.Error != "" {
			t.Fatal(r.Error)
		}
		caller.do(order{Flow: 1 << 20, Rate: 8 << 10}) // outlasts the wait
		for begun := time.Now(); r.Via == node.Relay; r = caller.do(order{Look: true}) {
			if time.Since(begun) > 3*time.Minute {
				t.Fatal("still on the relay")
			}
			time.Sleep(50 * time.Millisecond)
		}
		caller.do(order{Drop: true})
		callee.do(order{Drop: true})
	}
}

// A wrong secret is named as the reason, with a hint.
func TestRelayRefusesWrongSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, at := w.relayHost("3480")
	p := w.relayedPair(random.nat, random.nat, relayURL("wrong", at))
	r := p.caller.do(order{Connect: p.callee.Address})
	if !strings.Contains(r.Error, "refused the credentials") || !strings.Contains(r.Hint, "--turn") {
		t.Errorf("error %q, hint %q", r.Error, r.Hint)
	}
}
