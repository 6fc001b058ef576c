package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
	"github.com/sallyport-net/sallyport/nat/portmap/miniupnpd"
)

// TestPortIsGivenBack has a real router forward the port of a node, which tells
// an address that says so, and ends the node with SIGTERM: nothing is left on
// the router.
func TestPortIsGivenBack(t *testing.T) {
	lab := natlabtest.New(t, natlab.Config{})
	program, err := exec.LookPath("sallyport") // of testscript
	if err != nil {
		t.Fatal(err)
	}
	box := natlabtest.NAT(t, lab, natlab.NAT{Kernel: true})
	host := natlabtest.Host(t, lab, natlab.HostConfig{Behind: box})
	nobody := natlabtest.Host(t, lab, natlab.HostConfig{}) // refuses what it is asked
	router := miniupnpd.Start(t, box)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	home := t.TempDir()
	node := host.Command(ctx, program, "node", "--portmap", "--json", "--key", filepath.Join(home, "key"),
		"--broker", "tcp://"+nobody.Addr().String()+":1883", "--stun", nobody.Addr().String()+":3478")
	node.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home, "HOME="+home)
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	said := false
	for lines := bufio.NewScanner(out); !said && lines.Scan(); {
		said = strings.Contains(lines.Text(), ","+box.Externals()[0].String()+",")
	}
	if !said || !router.Forwards() {
		t.Errorf("the address tells of the forwarded port: %v; the router forwards it: %v", said, router.Forwards())
	}
	begun := time.Now()
	_ = node.Process.Signal(syscall.SIGTERM)
	if err := node.Wait(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	t.Logf("ended after %v", time.Since(begun).Round(time.Millisecond))
	if router.Forwards() {
		t.Errorf("after SIGTERM the router still forwards the port:\n%s", router.Rules())
	}
}
