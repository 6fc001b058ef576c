package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// portRestricted is the commonest home router, with an answer to strangers.
func portRestricted(refuse natlab.Refusal) *natlab.NAT { return &natlab.NAT{Refuse: refuse} }

func symmetric(kind nat.DeltaKind, step int) *natlab.NAT {
	return &natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: kind, Value: step}}
}

// Each road is one pair of networks; the caller is named first. A mebibyte
// goes both ways over each.
func TestRoads(t *testing.T) {
	t.Parallel()
	fullCone := &natlab.NAT{Filtering: nat.EndpointIndependent}
	for _, road := range []struct {
		name           string
		caller, callee *natlab.NAT // nil: on the internet
		via            node.Strategy
	}{
		{"open to open", nil, nil, node.Direct},
		{"port-restricted to open", portRestricted(natlab.Drop), nil, node.Direct},
		{"open to port-restricted", nil, portRestricted(natlab.Drop), node.Reverse},
		{"port-restricted both, drop", portRestricted(natlab.Drop), portRestricted(natlab.Drop), node.Punch},
		{"port-restricted both, RST", portRestricted(natlab.RST), portRestricted(natlab.RST), node.Punch},
		{"port-restricted both, ICMP", portRestricted(natlab.PortICMP), portRestricted(natlab.PortICMP), node.Punch},
		{"symmetric +1 to port-restricted", symmetric(nat.Independent, 1), portRestricted(natlab.Drop), node.Punch},
		{"port-restricted to symmetric +1", portRestricted(natlab.Drop), symmetric(nat.Independent, 1), node.Punch},
		{"symmetric random to full cone", symmetric(nat.Random, 0), fullCone, node.Direct},
		{"full cone to symmetric random", fullCone, symmetric(nat.Random, 0), node.Reverse},
		{"kernel masquerade both", &natlab.NAT{Kernel: true}, &natlab.NAT{Kernel: true}, node.Punch},
	} {
		t.Run(road.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			caller := w.node(w.behind("caller", road.caller))
			callee := w.node(w.behind("callee", road.callee))
			r := caller.mustConnect(callee.Address, 1<<20)
			for n := 1; n < tries && r.Via != road.via; n++ { // where there are several, another one may be faster once
				t.Logf("via %s\n%s", r.Via, strings.Join(r.Log, "\n"))
				r = caller.mustConnect(callee.Address, 1<<20)
			}
			t.Logf("via %s, usable after %v, first echo after %v\n%s", r.Via, r.Usable.Round(time.Millisecond), r.Echo.Round(time.Millisecond), strings.Join(r.Log, "\n"))
			if r.Via != road.via {
				t.Errorf("via %s, want %s\n%s", r.Via, road.via, strings.Join(r.Log, "\n"))
			}
		})
	}
}

func TestSameNATWithoutHairpin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := w.nat(natlab.NAT{})
	caller, callee := w.node(w.host("caller", box)), w.node(w.host("callee", box))
	r := caller.mustConnect(callee.Address, 1<<20)
	if r.Via != node.Direct || !strings.HasPrefix(r.Remote, callee.host.Addr().String()) {
		t.Errorf("via %s to %s, want the inner address %s", r.Via, r.Remote, callee.host.Addr())
	}
}

func TestCarrierNAT(t *testing.T) {
	for _, behind := range []string{"caller", "callee"} {
		t.Run("of the "+behind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			carried := w.host("carried", w.nat(natlab.NAT{Behind: w.nat(natlab.NAT{Name: "carrier"})}))
			plain := w.behind("plain", portRestricted(natlab.Drop))
			caller, callee := w.node(carried), w.node(plain)
			if behind == "callee" {
				caller, callee = callee, caller
			}
			if r := caller.mustConnect(callee.Address, 1<<20); r.Via != node.Punch {
				t.Errorf("via %s, want punch", r.Via)
			}
		})
	}
}

// What cannot work must say so, and why, and soon.
func TestRandomToRandomIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller := w.node(w.behind("caller", symmetric(nat.Random, 0)))
	callee := w.node(w.behind("callee", symmetric(nat.Random, 0)))
	r := caller.do(order{Connect: callee.Address})
	if r.Error == "" {
		t.Fatalf("connected via %s", r.Via)
	}
	if r.Took > 20*time.Second { // Connect has 30 s
		t.Errorf("took %v", r.Took)
	}
	if !strings.Contains(r.Error, "random") || r.Hint == "" {
		t.Errorf("the error does not say why: %q, hint %q", r.Error, r.Hint)
	}
	t.Logf("after %v: %s (hint: %s)", r.Took.Round(time.Millisecond), r.Error, r.Hint)
}

// Without any server, and with nothing configured, a node starts, says what it
// misses, and connects on its LAN.
func TestLANWithoutServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := w.nat(natlab.NAT{})
	nothing := func(r *role) { r.Brokers, r.STUN = nil, nil }
	caller, callee := w.node(w.host("caller", box), refusedBy(box)), w.node(w.host("callee", box), nothing)
	if caller.Health == "" || callee.Health == "" {
		t.Errorf("the nodes miss nothing: %q, %q", caller.Health, callee.Health)
	}
	if r := caller.mustConnect(callee.Address, 1<<20); r.Via != node.Direct {
		t.Errorf("via %s", r.Via)
	}
}
