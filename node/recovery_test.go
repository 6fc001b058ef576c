package node_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// watchful finds out soon about what has gone, so that a test need not wait.
func watchful(r *role) { r.KeepAlive, r.Refresh = 2*time.Second, 10*time.Minute }

// eventually asks a until what it reports is as wanted.
func (a *agent) eventually(what string, within time.Duration, ok func(reply) bool) reply {
	a.t.Helper()
	var r reply
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if r = a.do(order{Report: true}); ok(r) {
			return r
		}
	}
	a.t.Fatalf("%s: not %s within %v: %s, health %q", a.host.Name(), what, within, r.Address, r.Health)
	return r
}

// outside is the external endpoint that an address names first.
func outside(t testing.TB, text string) netip.AddrPort {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil || len(a.V4) == 0 {
		t.Fatalf("address %q: %v", text, err)
	}
	return a.V4[0].ExternalEndpoint()
}

// drifting gives out the next port for each new mapping, the same to all, so
// that a forgotten mapping comes back as another.
func drifting() natlab.NAT { return natlab.NAT{Ports: nat.Delta{Kind: nat.Independent, Value: 1}} }

// estate is a callee behind a NAT and a caller behind another.
type estate struct {
	*world
	box            *natlab.Box
	caller, callee *agent
}

func newEstate(t testing.TB, of natlab.NAT) *estate {
	w := newWorld(t)
	e := &estate{world: w, box: w.nat(of)}
	e.callee = w.node(w.host("callee", e.box), watchful)
	e.caller = w.node(w.behind("caller", portRestricted(natlab.Drop)))
	e.caller.mustConnect(e.callee.Address, 1000)
	return e
}

// reaches connects to the address of old and to the one of now.
func (e *estate) reaches() {
	e.t.Helper()
	old := e.callee.Address
	now := e.callee.do(order{Report: true}).Address
	for _, target := range []string{old, now} {
		r := e.caller.mustConnect(target, 1000)
		e.t.Logf("via %s, first echo after %v", r.Via, r.Echo.Round(time.Millisecond))
		if r.Echo > time.Second {
			e.t.Log(strings.Join(r.Log, "\n"))
		}
		if r.Via != node.Punch {
			e.t.Errorf("via %s, want punch", r.Via)
		}
	}
}

// What a network does to a node at rest, it must survive: with its old address
// and with the one that it tells afterwards it is reached as before.
func TestRecovery(t *testing.T) {
	t.Parallel()
	moves := func(e *estate) {
		e.t.Helper()
		old := outside(e.t, e.callee.Address)
		r := e.callee.eventually("elsewhere", time.Minute, func(r reply) bool { return outside(e.t, r.Address) != old })
		now := outside(e.t, r.Address)
		e.t.Logf("seen at %v, then at %v", old, now)
		if now.Addr() != e.box.Externals()[0] {
			e.t.Errorf("told %v, the NAT has %v", now, e.box.Externals())
		}
	}
	stays := func(e *estate) {
		e.t.Helper()
		e.callee.eventually("without a broker", time.Minute, func(r reply) bool { return r.Health != "" })
	}
	returns := func(e *estate) {
		e.t.Helper()
		r := e.callee.eventually("healthy", 2*time.Minute, func(r reply) bool { return r.Health == "" })
		if now, old := outside(e.t, r.Address), outside(e.t, e.callee.Address); now != old {
			e.t.Errorf("told %v, where the mapping stands at %v", now, old)
		}
	}
	t.Run("NAT reboot, ports kept", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, natlab.NAT{})
		if err := e.box.Reboot(); err != nil {
			t.Fatal(err)
		}
		stays(e)
		returns(e)
		e.reaches()
	})
	t.Run("NAT reboot, other port", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, drifting())
		if err := e.box.Reboot(); err != nil {
			t.Fatal(err)
		}
		moves(e)
		e.reaches()
	})
	t.Run("renumbered", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, natlab.NAT{})
		if err := e.box.Renumber(); err != nil {
			t.Fatal(err)
		}
		moves(e)
		e.reaches()
	})
	t.Run("renumbered, ports not kept", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, drifting())
		if err := e.box.Renumber(); err != nil {
			t.Fatal(err)
		}
		moves(e)
		e.reaches()
	})
	t.Run("broker silent", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, natlab.NAT{})
		e.server.Cut(true)
		stays(e)
		e.server.Cut(false)
		returns(e)
		e.reaches()
	})
	t.Run("node's link cut", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, natlab.NAT{})
		e.callee.host.Cut(true)
		stays(e)
		e.callee.host.Cut(false)
		returns(e)
		e.reaches()
	})
	t.Run("broker restarted", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t, natlab.NAT{})
		e.serves.end()
		stays(e)
		a := e.server.Addrs()
		e.start(e.server, role{Serve: []string{a[0].String(), a[1].String()}})
		returns(e)
		e.reaches()
	})
}

// A mapping that moves while the broker's connection seems to live is found by
// the refresh, which then ends that connection: it hangs on nothing.
func TestRefreshFindsAMovedMapping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	box := w.nat(drifting())
	callee := w.node(w.host("callee", box), func(r *role) { r.KeepAlive, r.Refresh = time.Hour, time.Second })
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
	if err := box.Renumber(); err != nil {
		t.Fatal(err)
	}
	callee.eventually("elsewhere", time.Minute, func(r reply) bool {
		return outside(t, r.Address).Addr() == box.Externals()[0]
	})
	caller.mustConnect(callee.Address, 1000) // needs a broker
}

// A machine whose address changes is somewhere else from then on.
func TestMachineMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	callee := w.node(w.host("callee", w.nat(natlab.NAT{}), func(c *natlab.HostConfig) { c.Addresses = 2 }), func(r *role) {
		r.KeepAlive, r.Refresh = time.Hour, time.Hour
	})
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
	gone := callee.host.Addr()
	sysctl(t, callee.host, "conf/all/promote_secondaries", "1") // else the kernel takes both
	ip(t, callee.host, "addr", "del", gone.String()+"/24", "dev", "eth0")
	ip(t, callee.host, "route", "replace", "default", "via", callee.host.Gateway().String())
	inner := callee.host.Addrs()[1]
	callee.eventually("at its other address", 25*time.Second, func(r reply) bool {
		a, err := address.Parse(r.Address)
		return err == nil && len(a.V4) == 1 && a.V4[0].Internal == inner && a.V4[0].External == callee.host.External()
	})
	caller.mustConnect(callee.Address, 1000) // needs a broker
}

// ip runs ip(8) on a host.
func ip(t testing.TB, h *natlab.Host, args ...string) {
	t.Helper()
	if out, err := h.Command(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Skipf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// sysctl sets one of a host's settings, under net/ipv4.
func sysctl(t testing.TB, h *natlab.Host, name, value string) {
	t.Helper()
	err := h.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0) })
	if err != nil {
		t.Skipf("the kernel does not allow it: %v", err)
	}
}

// Two nodes on one machine never share a port, and reach one another and the
// world.
func TestTwoNodesOnOneMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.behind("house", portRestricted(natlab.Drop))
	a, b := w.node(h), w.node(h)
	if pa, pb := outside(t, a.Address), outside(t, b.Address); pa == pb {
		t.Fatalf("both at %v", pa)
	}
	far := w.node(w.behind("far", portRestricted(natlab.Drop)))
	a.mustConnect(b.Address, 1000)
	far.mustConnect(a.Address, 1000)
	far.mustConnect(b.Address, 1000)
}

// A second connection to the same peer, by whichever side, is a stream of the
// session that is there, and is there at once.
func TestSecondConnection(t *testing.T) {
	t.Parallel()
	for _, terrain := range []terrain{home, plusOne} {
		for _, back := range []bool{false, true} {
			name := terrain.name + ", again"
			if back {
				name = terrain.name + ", the other way"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				a := w.node(w.behind("a", terrain.nat))
				b := w.node(w.behind("b", portRestricted(natlab.Drop)))
				first := a.do(order{Connect: b.Address, Keep: true})
				from, to := a, b
				if back {
					from, to = b, a
				}
				second := from.do(order{Connect: to.Address, Keep: true})
				third := from.do(order{Connect: to.Address, Keep: true})
				for k, r := range []reply{first, second, third} {
					if r.Error != "" || k == 0 && r.Via != node.Punch || k > 0 && r.Usable > 0 {
						t.Fatalf("connection %d: via %q after %v, error %q\n%s", k+1, r.Via, r.Usable, r.Error, strings.Join(r.Log, "\n"))
					}
				}
				last := 2
				if !back {
					last = 3
				} else if r := a.do(order{Use: 1, Bytes: 1000}); r.Error != "" {
					t.Errorf("the first connection: %s", r.Error)
				}
				for k := last; k > 0; k-- {
					if r := from.do(order{Use: k, Bytes: 1000}); r.Error != "" {
						t.Errorf("connection %d of %s: %s", k, from.host.Name(), r.Error)
					}
				}
			})
		}
	}
}

// The kernel keeps the four-tuple of a closed connection for a minute on the
// side that closed first, and without timestamps nothing may use it before.
func TestReconnectWithinTimeWait(t *testing.T) {
	for _, timestamps := range []string{"1", "0"} {
		for _, closer := range []string{"caller", "callee"} {
			t.Run("timestamps "+timestamps+", the "+closer+" closes first", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				hosts := []*natlab.Host{w.behind("caller", portRestricted(natlab.Drop)), w.behind("callee", portRestricted(natlab.Drop))}
				for _, h := range append(hosts, w.server) {
					sysctl(t, h, "tcp_timestamps", timestamps)
				}
				caller, callee := w.node(hosts[0], watchful), w.node(hosts[1], watchful)
				for n := range 4 {
					from, to := caller, callee
					if n == 3 {
						from, to = callee, caller
					}
					var slow []time.Duration
					for again := true; again; { // any may be slow on a busy machine, but not all
						r := from.do(order{Connect: to.Address, Keep: true})
						if slow = append(slow, r.Usable); r.Error != "" || len(slow) > tries {
							t.Fatalf("connect %d after %v: error %q\n%s", n+1, slow, r.Error, strings.Join(r.Log, "\n"))
						}
						again = r.Usable > time.Second
						if closer == "caller" {
							from.do(order{Drop: true})
						} else {
							to.do(order{Drop: true})
						}
					}
				}
			})
		}
	}
}

// The same for the broker's connection: a node that starts again on its port
// comes back to its brokers and to its peers, whoever closed first.
func TestNodeRestartsOnItsPort(t *testing.T) {
	t.Parallel()
	for _, timestamps := range []string{"1", "0"} {
		t.Run("timestamps "+timestamps, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.behind("callee", portRestricted(natlab.Drop))
			for _, h := range []*natlab.Host{h, w.server} {
				sysctl(t, h, "tcp_timestamps", timestamps)
			}
			secret, _ := newKey(t)
			fixed := func(r *role) { r.Port, r.Key = 4000, secret }
			caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
			for range 3 {
				callee := w.node(h, fixed)
				if callee.Health != "" {
					t.Errorf("misses %s", callee.Health)
				}
				if got := outside(t, callee.Address).Port(); got != 4000 {
					t.Errorf("seen at port %d", got)
				}
				caller.mustConnect(callee.Address, 1000)
				callee.end()
			}
		})
	}
}
