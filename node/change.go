package node

import "sync"

// change tells everyone who waits that the networks have changed.
type change struct {
	mu sync.Mutex
	ch chan struct{}
}

func (c *change) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ch)
	c.ch = make(chan struct{})
}

// changed is closed when the networks change the next time.
func (n *Node) changed() <-chan struct{} {
	n.change.mu.Lock()
	defer n.change.mu.Unlock()
	return n.change.ch
}
