package node

import (
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

const (
	// maxRequests is how many requests for circuits are looked at at once,
	// maxRequestsOpen those of peers that are let in only as everyone is, and
	// maxRequestsOf those of one peer, callers that it has announced included.
	maxRequests, maxRequestsOpen, maxRequestsOf = 128, 96, 16
	// maxCalled is how many callees are called for callers at once, and
	// maxCalledFor those for one caller: who asks for such as never answer
	// leaves places to others.
	maxCalled, maxCalledFor = 8, 4
	// maxExpected is how many callers may be brought to us by nodes that relay,
	// and maxExpectedOpen how many of them are admitted only as everyone is.
	maxExpected, maxExpectedOpen = 64, 48
	// expectedFor is how long one has to come.
	expectedFor = time.Minute
)

// circuits are what a node knows of them: those that it relays, those that lead
// to it, and who may open more.
type circuits struct {
	mu        sync.Mutex
	requests  map[address.Key]int // that are looked at, by who asks
	expected  map[address.Key]expectation
	announced map[announcement]int // callers, by callees for whom we relay
	held      map[address.Key]int  // that we relay, by who is charged
	running   map[address.Key]int  // that lead over a session with that peer
	calling   map[address.Key]int  // callees that we call, by callers
}

// expectation is by whom a caller may be brought to us.
type expectation struct {
	by     []address.Key
	until  time.Time
	listed bool
}

// announcement is a caller whom a callee expects.
type announcement struct{ callee, caller address.Key }

func newCircuits() *circuits {
	return &circuits{
		requests: make(map[address.Key]int), expected: make(map[address.Key]expectation),
		announced: make(map[announcement]int), held: make(map[address.Key]int), running: make(map[address.Key]int),
		calling: make(map[address.Key]int),
	}
}

// count adds one to a count, and gives what takes it away again.
func count[K comparable](c *circuits, of map[K]int, k K) (done func()) {
	of[k]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if of[k]--; of[k] == 0 {
			delete(of, k)
		}
	})
}

func total(of map[address.Key]int) (n int) {
	for _, k := range of {
		n += k
	}
	return n
}

// enter takes a place for a request of a peer's.
func (c *circuits) enter(peer address.Key, level signaling.Level) (done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := maxRequestsOpen
	if level == signaling.Listed {
		most = maxRequests
	}
	if c.requests[peer] >= maxRequestsOf || total(c.requests) >= most {
		return nil, false
	}
	return count(c, c.requests, peer), true
}

// call takes a place for a callee that is called for a caller.
func (c *circuits) call(caller address.Key) (done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calling[caller] >= maxCalledFor || total(c.calling) >= maxCalled {
		return nil, false
	}
	return count(c, c.calling, caller), true
}

// expect lets a caller be brought by any of the nodes named, for a while. It
// reports whether there was room: of those who are admitted only as everyone is,
// no number takes it from the others.
func (c *circuits) expect(now time.Time, caller address.Key, level signaling.Level, by []address.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := 0
	for k, e := range c.expected {
		switch {
		case !now.Before(e.until):
			delete(c.expected, k)
		case k == caller: // an earlier circuit of the same call may be on its way
			by = unite(by, e.by)
			delete(c.expected, k)
		case !e.listed:
			open++
		}
	}
	listed := level == signaling.Listed
	if len(c.expected) >= maxExpected || !listed && open >= maxExpectedOpen {
		return false
	}
	c.expected[caller] = expectation{slices.Clone(by), now.Add(expectedFor), listed}
	return true
}

// unite gives the keys of both lists, six at most.
func unite(a, b []address.Key) []address.Key {
	list := slices.Clone(a)
	for _, k := range b {
		if !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	return list[:min(len(list), 2*MaxRelayNodes)]
}

// expects reports whether a caller may be brought by that node.
func (c *circuits) expects(now time.Time, caller, by address.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.expected[caller]
	return now.Before(e.until) && slices.Contains(e.by, by)
}

// announce lets a caller be led to the callee until done is called.
func (c *circuits) announce(callee, caller address.Key) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return count(c, c.announced, announcement{callee, caller})
}

// run notes a circuit over a session with a peer, until done is called.
func (c *circuits) run(peer address.Key) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return count(c, c.running, peer)
}

// reserve decides about a caller's wish, and takes the place that it needs.
func (c *circuits) reserve(limits circuit.Limits, w circuit.Wish, caller, callee address.Key) (circuit.Decision, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Invited = c.announced[announcement{callee, caller}] > 0
	charged, level := caller, w.Caller
	if w.Caller == signaling.Stranger {
		charged, level = callee, w.Callee
	}
	w.Held, w.OfPeer, w.Guest = total(c.held), c.held[charged], level != signaling.Listed
	d := limits.Decide(w)
	if d.Status() != circuit.Joined {
		return d, func() {}
	}
	return d, count(c, c.held, charged)
}

// knows reports whether a peer has to do with circuits now: it may bring us a
// caller, is one whom somebody expects, or has circuits that run.
func (c *circuits) knows(now time.Time, peer address.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[peer] > 0 {
		return true
	}
	for _, e := range c.expected {
		if now.Before(e.until) && slices.Contains(e.by, peer) {
			return true
		}
	}
	for a := range c.announced {
		if a.caller == peer {
			return true
		}
	}
	return false
}

// beside says how far somebody is let in for the sake of circuits.
func (n *Node) beside(k address.Key) signaling.Level {
	level := n.cfg.Relaying.For.Level(k)
	if level == signaling.Listed || !n.circuits.knows(time.Now(), k) {
		return level
	}
	if slices.ContainsFunc(n.cfg.RelayNodes, func(r address.Address) bool { return r.Key == k }) {
		return signaling.Listed // we have named it
	}
	return signaling.Open
}

// takeCircuit takes a stream for a circuit.
func (n *Node) takeCircuit(t *session.Stream) error {
	level := n.gate(t.Peer())
	if level == signaling.Stranger {
		n.carried.decline(circuit.Refused)
		return link.ErrRefused
	}
	done, ok := n.circuits.enter(t.Peer(), level)
	if !ok {
		n.carried.decline(circuit.Busy)
		return link.ErrBusy
	}
	if !n.spawn(func() { n.serveCircuit(t, done) }) {
		done()
		return link.ErrRefused
	}
	return nil
}
