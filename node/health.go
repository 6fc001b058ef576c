package node

import (
	"errors"
	"sync"
)

// errPending is the state of what has neither answered nor failed yet.
var errPending = errors.New("no answer yet")

// health keeps what the start of a node missed.
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

// Health says what the node misses: broker is why no broker was reached when
// it started, stun why no STUN server answered; nil is good.
func (n *Node) Health() (broker, stun error) {
	n.health.mu.Lock()
	defer n.health.mu.Unlock()
	if len(n.channel.Open()) > 0 {
		return nil, n.health.stun
	}
	return n.health.broker, n.health.stun
}
