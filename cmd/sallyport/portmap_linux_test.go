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
	"github.com/sallyport-net/sallyport/nat/portmap/miniupnpd"
)

// TestPortIsGivenBack has a real router forward the port of a node, which tells
// an address that says so, and ends the node with SIGTERM: nothing is left on
// the router.
func TestPortIsGivenBack(t *testing.T) {
	if err := natlab.Available(); err != nil {
		t.Skipf("the lab can't run here: %v", err)
	}
	program, err := exec.LookPath("sallyport") // of testscript
	if err != nil {
		t.Fatal(err)
	}
	lab, err := natlab.New(natlab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	box, err := lab.NAT(natlab.NAT{Kernel: true})
	if err != nil {
		t.Fatal(err)
	}
	host, err := lab.Host(natlab.HostConfig{Behind: box})
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := lab.Host(natlab.HostConfig{}) // refuses what it is asked
	if err != nil {
		t.Fatal(err)
	}
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
