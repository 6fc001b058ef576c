package node

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/signaling"
)

// RelayingState is what a node relays, and has relayed since New.
type RelayingState struct {
	For      signaling.Admission // as in Config.Relaying; zero is nobody
	Circuits []CircuitState      // that there are now, the oldest first
	Carried  uint64              // circuits that were joined, those of now included
	// There and Back are bytes of all of them: from callers to callees, and back.
	There, Back uint64
	Declined    Declined
}

// CircuitState is a circuit that a node relays.
type CircuitState struct {
	Number         int // in this node, from 1 on; as in the events
	Caller, Callee address.Key
	Since          time.Time
	There, Back    uint64 // bytes from the caller to the callee, and back
}

// Declined counts requests for circuits that came to nothing, and connections of
// peers that are let in for nothing, by what those who came were told.
type Declined struct {
	Refused     uint64 // the node does not relay for whoever came
	Busy        uint64 // a quota is used up
	Absent      uint64 // the node cannot lead there, or the callee does not want it
	Unsupported uint64 // no request came, or one that this version does not know
}

// Relaying tells for whom the node relays, and what.
func (n *Node) Relaying() RelayingState {
	s := n.carried.state()
	s.For = n.cfg.Relaying.For
	return s
}

// carried are the circuits that a node relays, and counts of those before.
type carried struct {
	mu          sync.Mutex
	running     map[int]*carriage
	number      int // of the latest
	there, back uint64
	declined    Declined
}

// carriage is a circuit that runs.
type carriage struct {
	caller, callee address.Key
	since          time.Time
	meter          circuit.Meter
}

func newCarried() *carried { return &carried{running: make(map[int]*carriage)} }

// begin notes a circuit that was joined.
func (c *carried) begin(caller, callee address.Key) (number int, m *circuit.Meter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	r := &carriage{caller: caller, callee: callee, since: time.Now()}
	c.running[c.number] = r
	return c.number, &r.meter
}

// end notes that it is over, and gives what it has carried.
func (c *carried) end(number int) (there, back uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there, back = c.running[number].meter.Bytes()
	delete(c.running, number)
	c.there, c.back = c.there+there, c.back+back
	return there, back
}

// decline counts a request by its answer.
func (c *carried) decline(s circuit.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case circuit.Refused:
		c.declined.Refused++
	case circuit.Busy:
		c.declined.Busy++
	case circuit.Absent:
		c.declined.Absent++
	case circuit.Unsupported:
		c.declined.Unsupported++
	}
}

func (c *carried) state() RelayingState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := RelayingState{Carried: uint64(c.number), There: c.there, Back: c.back, Declined: c.declined}
	for _, number := range slices.Sorted(maps.Keys(c.running)) {
		r := c.running[number]
		there, back := r.meter.Bytes()
		s.Circuits = append(s.Circuits, CircuitState{number, r.caller, r.callee, r.since, there, back})
		s.There, s.Back = s.There+there, s.Back+back
	}
	return s
}
