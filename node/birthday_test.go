package node_test

import (
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/node"
)

// Who would have to guess random ports at a peer that does so for listed peers
// only is told that, and what helps does: it is admitted, and not refused.
func TestBirthdayIsForListedPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret, id := newKey(t)
	caller := w.node(w.behind("caller", random.nat), func(r *role) { r.Key, r.Only = secret, []node.Strategy{node.Punch} })
	callee := w.node(w.behind("callee", home.nat), func(r *role) { r.Only = []node.Strategy{node.Punch} })
	r := caller.do(order{Connect: callee.Address})
	if !strings.Contains(r.Error, "for listed peers only") || !strings.Contains(r.Hint, "name this node with --allow where the peer runs") {
		t.Errorf("error %q, hint %q", r.Error, r.Hint)
	}
	if strings.Contains(r.Error, "refused: ") {
		t.Errorf("it reads like a refusal of the node itself: %s", r.Error)
	}
	friend := w.node(w.behind("friend", home.nat), func(r *role) { r.Allow = []string{id} })
	r = caller.do(order{Connect: friend.Address, Bytes: 1000})
	for range 3 { // it is by luck, though mostly by good luck
		if r.Error == "" {
			break
		}
		r = caller.do(order{Connect: friend.Address, Bytes: 1000})
	}
	if r.Error != "" || r.Via != node.Punch {
		t.Errorf("where it is listed: via %q, %s", r.Via, r.Error)
	}
}
