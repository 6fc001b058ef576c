package node_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// both has a node ask servers over both families.
func (w *world) both(r *role) { r.STUN = slices.Concat(w.stun, w.stun6) }

// over6 has a node know IPv6 servers only.
func (w *world) over6(r *role) { r.Brokers, r.STUN = []string{w.broker6}, w.stun6 }

// guarded is a network whose IPv4 can't meet its like, and whose IPv6 has a
// firewall that answers strangers as refuse says.
func guarded(refuse natlab.Refusal) natlab.NAT {
	cfg := *symmetric(nat.Random, 0)
	cfg.V6 = &natlab.V6{Refuse: refuse}
	return cfg
}

// withoutLAN has a node go by addresses alone.
func withoutLAN(r *role) { r.NoLAN = true }

func dual(c *natlab.HostConfig) { c.Stack = natlab.DualStack }
func six(c *natlab.HostConfig)  { c.Stack = natlab.IPv6 }

// expect fails the test unless the connection came by via, to one of the
// addresses.
func (r reply) expect(t *testing.T, via node.Strategy, to ...netip.Addr) {
	t.Helper()
	remote, err := netip.ParseAddrPort(r.Remote)
	if err != nil || r.Via != via || !slices.Contains(to, remote.Addr()) {
		t.Errorf("via %s to %s, want %s to %v\n%s", r.Via, r.Remote, via, to, strings.Join(r.Log, "\n"))
	}
	t.Logf("via %s to %s, first echo after %v", r.Via, r.Remote, r.Echo.Round(time.Millisecond))
}

// remote is the access link of a house that is far from everything else, so that
// what waits for the internet is told from what a busy machine makes slow.
const remote = 10 * accessLink

// nearby fails the test unless a connection without the internet in between is
// as fast as that should be, in a remote house. It takes the best of a few, since
// other work on the machine makes the network slow.
func nearby(t *testing.T, connect func() reply) {
	t.Helper()
	const soon = 4 * remote // a round trip to the internet and back
	var echoes []time.Duration
	for len(echoes) < tries {
		r := connect()
		if r.Echo < soon || t.Failed() {
			return
		}
		echoes = append(echoes, r.Echo)
	}
	t.Errorf("first echoes after %v, want one within %v", echoes, soon)
}

// Two hosts whose IPv4 never meets, with a firewall before the IPv6 of each.
func TestPunchOverIPv6(t *testing.T) {
	t.Parallel()
	for _, refuse := range []natlab.Refusal{natlab.Drop, natlab.RST, natlab.ProhibitedICMP} {
		t.Run(refusalName(refuse), func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, natlab.DualStack)
			caller := w.node(w.host("caller", w.nat(guarded(refuse)), dual), w.both)
			callee := w.node(w.host("callee", w.nat(guarded(refuse)), dual), w.both)
			caller.mustConnect(callee.Address, 1<<20).expect(t, node.Punch, callee.host.Addr6())
		})
	}
}

// Without IPv4 altogether, with STUN over IPv6 and without.
func TestIPv6Only(t *testing.T) {
	t.Parallel()
	for name, stun := range map[string]bool{"STUN": true, "no STUN": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, natlab.DualStack)
			start := func(name string) *agent {
				return w.node(w.host(name, w.nat(guarded(natlab.PortICMP)), six), w.over6, func(r *role) {
					if !stun {
						r.STUN = w.stun // which nobody here can reach
					}
				})
			}
			caller, callee := start("caller"), start("callee")
			caller.mustConnect(callee.Address, 1<<20).expect(t, node.Punch, callee.host.Addr6())
		})
	}
}

// Without a round trip to the broker no instant can be agreed on, so the caller
// primes: its SYN dies behind its own firewall.
func TestPrimedOverIPv6(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, natlab.DualStack)
	caller := w.node(w.host("caller", w.nat(guarded(natlab.RST)), six), w.over6)
	callee := w.node(w.host("callee", w.nat(guarded(natlab.RST)), six), w.over6)
	a, err := address.Parse(callee.Address)
	if err != nil {
		t.Fatal(err)
	}
	for k := range a.V6 {
		a.V6[k].BrokerRTT = 0
	}
	r := caller.mustConnect(a.String(), 1<<20)
	r.expect(t, node.Punch, callee.host.Addr6())
	if log := strings.Join(r.Log, "\n"); !strings.Contains(log, "prime [") {
		t.Errorf("nothing was primed:\n%s", log)
	}
}

// A host whose IPv6 is open is dialled, whatever its IPv4 is.
func TestOpenIPv6(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, natlab.DualStack)
	cfg := *symmetric(nat.Random, 0)
	cfg.V6 = &natlab.V6{Open: true}
	caller := w.node(w.host("caller", w.nat(guarded(natlab.Drop)), dual), w.both)
	callee := w.node(w.host("callee", w.nat(cfg), dual), w.both)
	caller.mustConnect(callee.Address, 1<<20).expect(t, node.Direct, callee.host.Addr6())
	callee.mustConnect(caller.Address, 1<<20).expect(t, node.Reverse, caller.host.Addr6())
}

// Two uplinks of which the first leads nowhere: its NAT's ports are random, and
// so are predicted ports of the peer's to it. The second is fine.
func TestTwoUplinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hopeless, fine := w.nat(*symmetric(nat.Random, 0)), w.nat(natlab.NAT{})
	two := w.node(w.host("two", hopeless, func(c *natlab.HostConfig) { c.More = []natlab.Uplink{{Behind: fine}} }))
	one := w.node(w.behind("one", symmetric(nat.Independent, 1)))
	a, err := address.Parse(two.Address)
	if err != nil || len(a.V4) != 2 || a.V4[0].NAT != nat.Symmetric || a.V4[1].NAT != nat.PortRestricted {
		t.Fatalf("%v, %v", two.Address, err)
	}
	two.mustConnect(one.Address, 1<<20).expect(t, node.Punch, one.host.External())
	one.mustConnect(two.Address, 1<<20).expect(t, node.Punch, two.host.Interfaces()[1].External())
}

// Strangers get in by the second uplink, and are answered by it.
func TestDialledBySecondUplink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hopeless, fine := w.nat(*symmetric(nat.Random, 0)), w.nat(natlab.NAT{Filtering: nat.EndpointIndependent})
	two := w.node(w.host("two", hopeless, func(c *natlab.HostConfig) { c.More = []natlab.Uplink{{Behind: fine}} }))
	one := w.node(w.behind("one", symmetric(nat.Random, 0)))
	one.mustConnect(two.Address, 1<<20).expect(t, node.Direct, two.host.Interfaces()[1].External())
}

// A first uplink that lets little out is no reason not to dial by the second.
func TestDialBySecondUplink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	blocked, fine := w.nat(natlab.NAT{OnlyTCPPorts: []uint16{1883}}), w.nat(natlab.NAT{})
	two := w.node(w.host("two", blocked, func(c *natlab.HostConfig) { c.More = []natlab.Uplink{{Behind: fine}} }))
	open := w.node(w.host("open", nil), func(r *role) { r.Only = []node.Strategy{node.Direct} })
	two.mustConnect(open.Address, 1<<20).expect(t, node.Direct, open.host.Addr())
}

// Two hosts behind one NAT that turns nothing back meet at their inner
// addresses. Bridges that have the same address on both don't mislead them.
func TestInnerAddresses(t *testing.T) {
	w := newWorldOf(t, natlab.DualStack)
	box := w.nat(natlab.NAT{Delay: remote, V6: &natlab.V6{ULA: true}})
	start := func(name string) *agent {
		h := w.host(name, box, dual)
		for bridge, prefix := range map[string]string{"docker0": "172.17.0.1/16", "inside0": "10.88.0.1/16"} {
			if err := h.Bridge(bridge, netip.MustParsePrefix(prefix)); err != nil {
				t.Fatal(err)
			}
		}
		return w.node(h, w.both, withoutLAN)
	}
	caller, callee := start("caller"), start("callee")
	for _, target := range []string{callee.Address, strings.Replace(callee.Address, callee.host.Addr().String(), callee.host.External().String(), 1)} {
		nearby(t, func() reply {
			r := caller.mustConnect(target, 1<<20)
			r.expect(t, r.Via, callee.host.Addr(), callee.host.ULA(), callee.host.Addr6()) // a punch on one link is as good
			if log := strings.Join(r.Log, "\n"); strings.Contains(log, "dialling 172.17.") || strings.Contains(log, "dialling 10.88.") {
				t.Errorf("a bridge was dialled:\n%s", log)
			}
			return r
		})
	}
}

// A LAN without any server, IPv4 or way out: unique local addresses of one site.
func TestULAOnly(t *testing.T) {
	w := newWorld(t)
	box := w.nat(natlab.NAT{V6: &natlab.V6{ULA: true, NoGlobal: true}})
	nothing := func(r *role) { r.Brokers, r.STUN, r.NoLAN = nil, []string{}, true }
	caller, callee := w.node(w.host("caller", box, six), nothing), w.node(w.host("callee", box, six), nothing)
	caller.mustConnect(callee.Address, 1<<20).expect(t, node.Direct, callee.host.ULA())
}

// Two nodes on one machine meet there, even where their addresses tell of the
// outside only and the NAT turns nothing back.
func TestSameMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.host("machine", w.nat(natlab.NAT{Delay: remote}))
	for name, hide := range map[string]bool{"inner": false, "loopback": true} {
		t.Run(name, func(t *testing.T) {
			same := func(r *role) { r.Machine, r.HideLAN, r.NoLAN = "cafe", hide, true }
			caller, callee := w.node(h, same), w.node(h, same)
			nearby(t, func() reply {
				r := caller.mustConnect(callee.Address, 1<<20)
				to := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
				if !hide {
					to = append(to, h.Addr())
				}
				r.expect(t, node.Direct, to...)
				return r
			})
		})
	}
}
