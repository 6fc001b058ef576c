package node_test

import (
	"flag"
	"slices"
	"testing"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

var reachFlag = flag.String("reach", "quick", `"all" pairs of networks, or a "quick" selection`)

var (
	noUDP   = terrain{"UDP blocked", &natlab.NAT{UDPBlocked: true}}
	carrier = terrain{"carrier NAT", &natlab.NAT{}} // a second level is added
	only443 = terrain{"only TCP 443", &natlab.NAT{UDPBlocked: true, OnlyTCPPorts: []uint16{443}}}
	estates = []terrain{open, fullCone, home, plusOne, random, noUDP, carrier, only443}
)

// place adds a host in the terrain.
func (w *world) place(name string, t terrain) *natlab.Host {
	if t.name != carrier.name {
		return w.behind(name, t.nat)
	}
	cfg := *t.nat
	cfg.Behind = w.nat(natlab.NAT{})
	return w.host(name, w.nat(cfg))
}

// Whoever can reach a broker and a relay is reached: every pair of networks,
// with everything that is asked of brokers and relays on port 443. The path is
// direct wherever docs/punching.md says that it can be.
//
//	go test ./node -run TestEveryoneIsReached -reach=all -parallel 6
func TestEveryoneIsReached(t *testing.T) {
	t.Parallel()
	quick := [][2]string{
		{only443.name, only443.name}, {random.name, only443.name}, {random.name, random.name}, {noUDP.name, carrier.name},
		{random.name, carrier.name}, {carrier.name, carrier.name},
	}
	for i, a := range estates {
		for _, b := range estates[i:] {
			if *reachFlag != "all" && !slices.Contains(quick, [2]string{a.name, b.name}) {
				continue
			}
			t.Run(a.name+" and "+b.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				_, at := w.relayHost("443")
				gate := w.host("gate", nil)
				w.start(gate, role{Serve: []string{gate.Addr().String()}, MQTT: "443"})
				secretA, idA := newKey(t)
				secretB, idB := newKey(t)
				common := func(r *role) {
					r.Brokers, r.Relays = []string{"tcp://" + gate.Addr().String() + ":443"}, []string{relayURL(relaySecret, at)}
				}
				one := w.node(w.place("one", a), common, func(r *role) { r.Key, r.Allow = secretA, []string{idB} })
				two := w.node(w.place("two", b), common, func(r *role) { r.Key, r.Allow = secretB, []string{idA} })
				r := one.mustConnect(two.Address, 1<<16)
				t.Logf("via %s, first echo after %v", r.Via, r.Echo)
				if canBeDirect(a, b) && !byLuck(a, b) {
					r = relayedLate(t, r, func() reply { return one.mustConnect(two.Address, 1<<16) })
				}
				if canBeDirect(a, b) == (r.Via == node.Relay) && !byLuck(a, b) {
					t.Errorf("via %s", r.Via)
					for _, line := range r.Log {
						t.Log(line)
					}
				}
			})
		}
	}
}

// canBeDirect is what docs/punching.md has for a pair.
func canBeDirect(a, b terrain) bool {
	if a.name == only443.name || b.name == only443.name {
		return false // it dials no port but one, at which nobody listens
	}
	return cell{caller: a, callee: b}.class() != impossible
}

// byLuck reports whether the pair meets by a birthday, which may fail.
func byLuck(a, b terrain) bool { return cell{caller: a, callee: b}.class() == birthday }
