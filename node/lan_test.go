package node_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/lan"
	"github.com/sallyport-net/sallyport/signaling"
)

// alone is a node's that no broker and no STUN server answers.
func alone() node.Config {
	return node.Config{Brokers: []address.Broker{{URL: "tcp://127.0.0.1:1"}}, STUN: []string{}, Interfaces: []string{"lo"}}
}

// Two nodes of one machine find each other without any server; where either
// keeps out of it, the failure says what would help.
func TestLANOnOneMachine(t *testing.T) {
	b := start(t, alone())
	accepted := accepting(t, b)
	a := start(t, alone())
	var c *node.Conn
	for end := time.Now().Add(time.Minute); c == nil; { // a busy machine may be slower than one search
		var err error
		if c, err = a.Connect(shortly(t), b.ID().String()); err != nil && (!errors.Is(err, lan.ErrSilent) || time.Now().After(end)) {
			t.Fatal(err)
		}
	}
	defer c.Close()
	defer (<-accepted).Close()
	if c.Via() != node.LAN || c.Peer() != b.ID() {
		t.Errorf("via %s", c.Via())
	}
	told := func(what string) bool {
		return slices.ContainsFunc(c.Timeline(), func(e node.Event) bool { return e.Strategy == node.LAN && strings.Contains(e.What, what) })
	}
	if !told("asking on the local networks") || !told("the peer is at 127.0.0.1:") {
		t.Errorf("the timeline does not tell of it: %v", c.Timeline())
	}

	off := alone()
	off.NoLAN = true
	listed := alone()
	only := signaling.Only(b.ID())
	listed.Admission = &only
	for name, pair := range map[string]struct {
		caller, callee node.Config
		hint           string
	}{
		"off at the caller": {off, alone(), "without --no-lan"},
		"off at the callee": {alone(), off, "runs without --no-lan"},
		"not admitted":      {alone(), listed, "admits this node"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callee := start(t, pair.callee)
			accepting(t, callee)
			_, err := start(t, pair.caller).Connect(shortly(t), callee.ID().String())
			var failed *node.ConnectError
			if !errors.As(err, &failed) || !strings.Contains(failed.Hint(), pair.hint) {
				t.Errorf("got %v, hint %q", err, failed.Hint())
			}
		})
	}
}
