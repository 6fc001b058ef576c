package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestForwardMoves takes the address that a forward's path begins at away from
// its machine: what is forwarded goes on over the next one, and so do new
// connections.
func TestForwardMoves(t *testing.T) {
	n := newNeighbourhood(t)
	a, b := n.host(1, n.home()), n.host(2, n.home())
	stageRun(t, a, filepath.Join(n.dir, "a"), "echoservice", "127.0.0.1:7000")
	target := n.node(a, "a", "node", "--allow-forward", "127.0.0.1:7000").await(t, `^Compact: (\S+)$`)
	fwd := n.node(b, "b", "forward", "-L", "7001:127.0.0.1:7000", target)
	fwd.await(t, "^Forwarding ")
	// The same by a node in the background, and a connection of its.
	n.node(b, "up", "up", "--foreground", "--listen", "none").await(t, `^Compact: `)
	through, _ := n.run(b, "up", "forward", "-L", "7002:127.0.0.1:7000", target)
	through.await(t, "^Using the node in the background")
	through.await(t, "^Forwarding ")
	ping, _ := n.run(b, "up", "ping", "--count", "0", "--interval", "10ms", target)
	ping.await(t, `^pong from .* via \S+ \S+$`)

	moved := filepath.Join(n.dir, "moved")
	first, done := stageRun(t, b, n.dir, "echoclient", "127.0.0.1:7001", moved)
	first.await(t, "^going$")
	other, otherDone := stageRun(t, b, n.dir, "echoclient", "127.0.0.1:7002", moved)
	other.await(t, "^going$")
	ip := func(words ...string) {
		if out, err := b.Command(t.Context(), "ip", words...).CombinedOutput(); err != nil {
			t.Skipf("ip %v: %v: %s", words, err, out)
		}
	}
	if err := b.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/conf/all/promote_secondaries", []byte("1"), 0) }); err != nil {
		t.Skipf("the kernel does not allow it: %v", err)
	}
	ip("addr", "del", b.Addr().String()+"/24", "dev", "eth0")
	ip("route", "replace", "default", "via", b.Gateway().String())
	fwd.await(t, "^The connection goes on with ")
	through.await(t, "^The connection goes on with ")
	now := ping.await(t, `^The connection goes on with (\S+), `)
	ping.await(t, `^pong from .* via \S+ `+regexp.QuoteMeta(now)+"$")
	if err := os.WriteFile(moved, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first.await(t, "^ok$")
	if err := done.Wait(); err != nil {
		t.Errorf("the connection that was there: %v: %s", err, first)
	}
	other.await(t, "^ok$")
	if err := otherDone.Wait(); err != nil {
		t.Errorf("the one by the node in the background: %v: %s", err, other)
	}
	second, _ := stageRun(t, b, n.dir, "echoclient", "127.0.0.1:7001", moved)
	second.await(t, "^ok$")
}
