package main

import (
	"strings"
	"testing"
)

// TestPingLeavesTheRelay has two nodes meet at a relay, lets them punch then, and at
// last takes that path away: ping shows each path, and tells of each move.
func TestPingLeavesTheRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
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
	at := text.await(t, `^The connection goes on with (\S+), through the NATs by hole punching(?: after [0-9.]+m?s)?\.$`)
	text.await(t, `^pong from .* via punch `+at+`$`)
	also := events.await(t, `^\{"event":"path","state":"moved","via":"punch","remote":"([^"]+)"(?:,"ms":[0-9.]+)?\}$`)
	if !strings.HasPrefix(at, direct) || !strings.HasPrefix(also, direct) {
		t.Errorf("the direct paths lead to %s and %s, want %s", at, also, direct)
	}

	apart(true)
	text.await(t, `^The path to the peer is silent\. Looking for another; nothing is lost meanwhile\.$`)
	at = text.await(t, `^The connection goes on with (\S+), through a relay after [0-9.]+m?s\.$`)
	text.await(t, `^pong from .* via relay `+at+`$`)
	events.await(t, `^\{"event":"path","state":"lost"\}$`)
	events.await(t, `^\{"event":"path","state":"moved","via":"relay","remote":"[^"]+","ms":[0-9.]+\}$`)
	for name, o := range map[string]*output{"ping": text, "ping --json": events} {
		if all := o.String(); strings.Contains(all, "error") || strings.Contains(all, "failed") {
			t.Errorf("%s: %s", name, all)
		}
	}
}
