package node_test

import (
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/portmap/miniupnpd"
	"github.com/sallyport-net/sallyport/node"
)

// TestForwardedPortIsDialled has a real miniupnpd forward the port of a node
// behind Linux's own NAT: its address says so, and a peer gets in by a plain
// dial, which is all that it may try.
func TestForwardedPortIsDialled(t *testing.T) {
	w := newWorld(t)
	box := w.nat(natlab.NAT{Kernel: true})
	router := miniupnpd.Start(t, box)
	bob := w.node(w.host("bob", box), func(r *role) { r.PortMap = true })
	caller := w.node(w.host("alice", nil), func(r *role) { r.Only = []node.Strategy{node.Direct} })
	said := bob.Address
	for end := time.Now().Add(time.Minute); !strangersGetIn(t, said); said = bob.do(order{Report: true}).Address {
		if time.Now().After(end) {
			t.Fatalf("the address does not say that the port is forwarded: %s", said)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if r := caller.mustConnect(said, 5); r.Via != node.Direct {
		t.Errorf("connected via %s", r.Via)
	}
	// The router starts anew, and its hosts' links with it.
	router.Restart(func() {
		if router.Forwards() {
			t.Error("the restart forgot nothing")
		}
	})
	begun := time.Now()
	ip(t, bob.host, "route", "del", "default")
	ip(t, bob.host, "route", "add", "default", "via", bob.host.Gateway().String())
	for end := begun.Add(time.Minute); !router.Forwards(); {
		if time.Now().After(end) {
			t.Fatal("the port is not forwarded anew")
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("forwarded anew %v after the link was back", time.Since(begun).Round(time.Millisecond))
	caller.mustConnect(said, 5)
}

func strangersGetIn(t *testing.T, text string) bool {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return len(a.V4) == 1 && a.V4[0].NAT == nat.FullCone
}

// TestRouterThatLies has the router tell an address on the internet that is not
// its own: the servers see another, and the node's address says what they see.
func TestRouterThatLies(t *testing.T) {
	w := newWorld(t)
	box := w.nat(natlab.NAT{Kernel: true})
	router := miniupnpd.Start(t, box, "ext_ip=93.184.215.14")
	bob := w.node(w.host("bob", box), func(r *role) { r.PortMap = true })
	for end := time.Now().Add(time.Minute); !router.Forwards(); {
		if time.Now().After(end) {
			t.Fatal("the port is not forwarded")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for range 10 { // the router's answer is on its way for a moment
		if said := bob.do(order{Report: true}).Address; strangersGetIn(t, said) || outside(t, said).Addr() != box.Externals()[0] {
			t.Errorf("the address believes it: %s", said)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
