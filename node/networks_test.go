package node_test

import (
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// renumber takes the address that a host has come to use away from it, so that
// it goes on with its next one.
func renumber(t testing.TB, h *natlab.Host, round int) {
	t.Helper()
	ip(t, h, "addr", "del", h.Addrs()[round].String()+"/24", "dev", "eth0")
	ip(t, h, "route", "replace", "default", "via", h.Gateway().String())
}

// A host that is renumbered is reached under its bare id within moments. Nothing
// but the kernel's word can have told the node so soon: its keep-alive and its
// refresh are an hour, and where the kernel tells, addresses are looked at every
// 30 s.
func TestRenumberedHostIsReachedAgain(t *testing.T) {
	const rounds = 3
	t.Parallel()
	w := newWorld(t)
	secret, id := newKey(t)
	h := w.host("callee", w.nat(natlab.NAT{}), func(c *natlab.HostConfig) { c.Addresses = rounds + 1 })
	callee := w.node(h, func(r *role) { r.Key, r.KeepAlive, r.Refresh = secret, time.Hour, time.Hour })
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
	before := caller.mustConnect(id, 1000)
	t.Logf("the first Connect took %v", before.Usable.Round(time.Millisecond))
	sysctl(t, h, "conf/all/promote_secondaries", "1") // else the kernel takes all of them
	for round := range rounds {
		changed := time.Now()
		renumber(t, h, round)
		r := caller.mustConnect(id, 1000)
		reached := time.Since(changed)
		said := callee.do(order{Next: true})
		told := time.Since(changed)
		t.Logf("reached via %s and exchanged %v after the change, of which the last Connect took %v", r.Via, reached.Round(time.Millisecond), r.Usable.Round(time.Millisecond))
		if reached > 15*time.Second || told > 15*time.Second {
			t.Errorf("reached after %v, the new address was told after %v", reached, told)
		}
		a, err := address.Parse(said.Address)
		if err != nil {
			t.Fatal(err)
		}
		for len(a.V4) > 0 && a.V4[0].Internal == h.Addrs()[round] { // told before the change
			said = callee.do(order{Next: true})
			a, _ = address.Parse(said.Address)
		}
		if len(a.V4) == 0 || a.V4[0].Internal != h.Addrs()[round+1] || a.V4[0].External != h.External() {
			t.Errorf("the address is told to be %s; want %v behind %v", said.Address, h.Addrs()[round+1], h.External())
		}
	}
}

// A laptop is carried to another network, where it has the same address again:
// the connections that it has seem to live, and are dead. That the route came
// anew is what makes the node find out.
func TestSameAddressBehindAnotherRouter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret, id := newKey(t)
	box := w.nat(drifting())
	callee := w.node(w.host("callee", box), func(r *role) { r.Key, r.KeepAlive, r.Refresh = secret, time.Hour, time.Hour })
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
	caller.mustConnect(id, 1000)
	if err := box.Renumber(); err != nil {
		t.Fatal(err)
	}
	changed := time.Now()
	ip(t, callee.host, "route", "del", "default")
	ip(t, callee.host, "route", "add", "default", "via", callee.host.Gateway().String())
	r := caller.mustConnect(id, 1000)
	reached := time.Since(changed)
	t.Logf("reached via %s and exchanged %v after the change", r.Via, reached.Round(time.Millisecond))
	if reached > 20*time.Second {
		t.Errorf("reached after %v", reached)
	}
	for now := outside(t, callee.Address); now.Addr() != box.Externals()[0]; {
		now = outside(t, callee.do(order{Next: true}).Address)
	}
}
