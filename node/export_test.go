package node

// CircuitPlaces is how many places for requests, announcements, circuits and
// calls of callees are taken.
func (n *Node) CircuitPlaces() int {
	c := n.circuits
	c.mu.Lock()
	defer c.mu.Unlock()
	return total(c.requests) + len(c.announced) + total(c.held) + total(c.running) + total(c.calling)
}
