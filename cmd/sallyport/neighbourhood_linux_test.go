package main

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
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
