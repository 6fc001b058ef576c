package node

import (
	"errors"
	"sync"
)

// errPending is the state of what has neither answered nor failed yet.
var errPending = errors.New("no answer yet")

// health keeps what a node misses.
type health struct {
	mu           sync.Mutex
	broker, stun error
}

func newHealth() *health { return &health{broker: errPending, stun: errPending} }

func (h *health) note(where *error, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*where = err
}

// blind reports whether no STUN server has answered when last asked.
func (h *health) blind() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stun != nil && h.stun != errPending
}

// Health says what the node misses now: broker is why no broker is open, stun
// why no STUN server answered when last asked; nil is good.
func (n *Node) Health() (broker, stun error) {
	n.health.mu.Lock()
	defer n.health.mu.Unlock()
	if len(n.channel.Open()) > 0 {
		return nil, n.health.stun
	}
	return n.health.broker, n.health.stun
}
