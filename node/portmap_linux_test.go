package node_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// TestForwardedPortIsDialled has a real miniupnpd forward the port of a node
// behind Linux's own NAT: its address says so, and a peer gets in by a plain
// dial, which is all that it may try.
func TestForwardedPortIsDialled(t *testing.T) {
	for _, program := range []string{"miniupnpd", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: %v", program, err)
		}
	}
	w := newWorld(t)
	box := w.nat(natlab.NAT{Kernel: true})
	startMiniupnpd(t, box)
	bob := w.node(w.host("bob", box), func(r *role) { r.PortMap = true })
	caller := w.node(w.host("alice", nil), func(r *role) { r.Only = []node.Strategy{node.Direct} })
	said := bob.Address
	for end := time.Now().Add(10 * time.Second); !strangersGetIn(t, said); said = bob.do(order{Report: true}).Address {
		if time.Now().After(end) {
			t.Fatalf("the address does not say that the port is forwarded: %s", said)
		}
	}
	if r := caller.mustConnect(said, 5); r.Via != node.Direct {
		t.Errorf("connected via %s", r.Via)
	}
}

func strangersGetIn(t *testing.T, text string) bool {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return len(a.V4) == 1 && a.V4[0].NAT == nat.FullCone
}

func startMiniupnpd(t *testing.T, box *natlab.Box) {
	t.Helper()
	const tables = `table inet miniupnpd {
	chain forward { type filter hook forward priority 0; jump upnp_forward; }
	chain prerouting { type nat hook prerouting priority -100; jump upnp_dnat; }
	chain postrouting { type nat hook postrouting priority 90; jump upnp_snat; }
	chain upnp_forward { }
	chain upnp_dnat { }
	chain upnp_snat { }
}
`
	nft := box.Command(t.Context(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader(tables)
	if out, err := nft.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	conf := filepath.Join(t.TempDir(), "miniupnpd.conf")
	text := "ext_ifname=wan\nlistening_ip=lan\nhttp_port=0\nenable_natpmp=yes\nenable_upnp=yes\n" +
		"upnp_table_name=miniupnpd\nupnp_nat_table_name=miniupnpd\nupnp_forward_chain=upnp_forward\n" +
		"upnp_nat_chain=upnp_dnat\nupnp_nat_postrouting_chain=upnp_snat\n" +
		"uuid=6a9a5d8e-0000-4000-8000-000000000001\nallow 1-65535 0.0.0.0/0 1-65535\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := box.Command(context.Background(), "miniupnpd", "-d", "-f", conf, "-P", conf+".pid")
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan error, 8)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Listening for NAT-PMP/PCP") {
				ready <- nil
			}
		}
		_, _ = io.Copy(io.Discard, errs)
		ready <- fmt.Errorf("miniupnpd has ended: %s", lines.Text())
	}()
	t.Cleanup(func() { _ = c.Process.Kill(); <-drained; _ = c.Wait() })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
}
