package main

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// neighbourhood is a laboratory with "sallyport serve" in it.
type neighbourhood struct {
	t    *testing.T
	lab  *natlab.Lab
	dir  string // for homes
	turn string // the relay's URL
	use  []string
}

func newNeighbourhood(t *testing.T) *neighbourhood {
	t.Helper()
	n := &neighbourhood{t: t, lab: natlabtest.New(t, natlab.Config{}), dir: t.TempDir()}
	server := n.host(2, nil)
	served, _ := n.run(server, "server", "serve", "--json", "--listen", server.Addrs()[0].String(), "--listen", server.Addrs()[1].String())
	var ready servedEvent
	if err := json.Unmarshal([]byte(served.await(t, `^(\{"event":"ready".*\})$`)), &ready); err != nil {
		t.Fatal(err)
	}
	n.turn = ready.TURN
	n.use = []string{"--no-lan", "--broker", ready.Brokers[0], "--stun", ready.STUN[0]}
	return n
}

// host adds one with so many addresses, behind a box or on the internet.
func (n *neighbourhood) host(addresses int, behind *natlab.Box) *natlab.Host {
	n.t.Helper()
	return natlabtest.Host(n.t, n.lab, natlab.HostConfig{Addresses: addresses, Behind: behind, Delay: time.Millisecond})
}

// home adds a router as homes have it.
func (n *neighbourhood) home() *natlab.Box {
	n.t.Helper()
	return natlabtest.NAT(n.t, n.lab, natlab.Typed(nat.PortRestricted))
}

// run runs this program on a host, by the configuration of a home, until the test
// ends.
func (n *neighbourhood) run(h *natlab.Host, home string, words ...string) (*output, *natlab.Cmd) {
	n.t.Helper()
	return stageRun(n.t, h, filepath.Join(n.dir, home), append([]string{"sallyport"}, words...)...)
}

// node runs a command that starts a node which uses the server.
func (n *neighbourhood) node(h *natlab.Host, home, command string, words ...string) *output {
	n.t.Helper()
	o, _ := n.run(h, home, append(append([]string{command}, n.use...), words...)...)
	return o
}

// blackhole has a host's own kernel drop what goes to an address, or stop that.
func blackhole(t *testing.T, h *natlab.Host, to netip.Addr, on bool) {
	t.Helper()
	dst, err := netlink.ParseIPNet(netip.PrefixFrom(to, to.BitLen()).String())
	if err != nil {
		t.Fatal(err)
	}
	change := netlink.RouteDel
	if on {
		change = netlink.RouteAdd
	}
	if err := h.Do(func() error { return change(&netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE}) }); err != nil {
		t.Fatal(err)
	}
}

// TestPingLeavesTheRelay has two nodes meet at a relay, lets them punch then, and at
// last takes that path away: ping shows each path, and tells of each move.
func TestPingLeavesTheRelay(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	near, far := n.home(), n.home()
	a, b := n.host(1, far), n.host(1, near)
	apart := func(on bool) {
		t.Helper()
		blackhole(t, a, near.Externals()[0], on)
		blackhole(t, b, far.Externals()[0], on)
	}
	apart(true)
	target := n.node(a, "a", "node").await(t, `^Compact: (\S+)$`)
	ping := func(home string, words ...string) *output {
		return n.node(b, home, "ping", append([]string{"--turn", n.turn, "--count", "0", "--interval", "10ms", target}, words...)...)
	}
	text, events := ping("text"), ping("json", "--json")
	relay := text.await(t, `^Connected with \S+ at (\S+), through a relay, in `)
	text.await(t, `^pong from \S+: seq=1 time=\S+ ms via relay `+relay+`$`)
	events.await(t, `^\{"event":"connected","via":"relay",`)
	events.await(t, `^\{"event":"pong","seq":1,`)

	apart(false)
	direct := far.Externals()[0].String() + ":"
	at := text.await(t, `^The connection goes on with (\S+), through the NATs by hole punching\.$`)
	text.await(t, `^pong from .* via punch `+at+`$`)
	also := events.await(t, `^\{"event":"path","state":"moved","via":"punch","remote":"([^"]+)"\}$`)
	if !strings.HasPrefix(at, direct) || !strings.HasPrefix(also, direct) {
		t.Errorf("the direct paths lead to %s and %s, want %s", at, also, direct)
	}

	apart(true)
	text.await(t, `^The path to the peer is silent\. Looking for another; nothing is lost meanwhile\.$`)
	at = text.await(t, `^The connection goes on with (\S+), through a relay after [0-9.]+s\.$`)
	text.await(t, `^pong from .* via relay `+at+`$`)
	events.await(t, `^\{"event":"path","state":"lost"\}$`)
	events.await(t, `^\{"event":"path","state":"moved","via":"relay","remote":"[^"]+","ms":[0-9.]+\}$`)
	for name, o := range map[string]*output{"ping": text, "ping --json": events} {
		if all := o.String(); strings.Contains(all, "error") || strings.Contains(all, "failed") {
			t.Errorf("%s: %s", name, all)
		}
	}
}
