package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

var (
	errTaken   = errors.New("the name is taken")
	errFull    = errors.New("so many connections are held already")
	errClosing = errors.New("the node is ending")
)

// held is a connection to a peer that clients use by its name.
type held struct {
	name    string
	conn    *node.Conn // nil while it is being made
	session int
	echo    bool
	ours    bool
	since   time.Time

	sending, receiving chan struct{} // have an element while somebody does
	sent, received     atomic.Uint64 // bytes
	ended              atomic.Bool   // the peer's end was received
	busy               atomic.Int32
	idle               *time.Timer
}

// Connection is a held connection as clients see it.
type Connection struct {
	Name     string    `json:"name"`
	Peer     string    `json:"peer"`
	Session  int       `json:"session"` // 0 where it has ended at once
	Ours     bool      `json:"ours"`    // whether this node called
	Echo     bool      `json:"echo"`
	Since    time.Time `json:"since"`
	Via      string    `json:"via"`
	By       string    `json:"by,omitempty"` // the id of the node that relays
	Remote   string    `json:"remote"`
	Alive    bool      `json:"alive"`
	Moves    int       `json:"moves"`
	TookMS   float64   `json:"took_ms"`  // of the call; 0 where there was none
	Sent     uint64    `json:"sent"`     // bytes that clients sent
	Received uint64    `json:"received"` // bytes that clients received
	Ended    bool      `json:"ended"`    // the peer sends no more, and all was received
}

func (h *held) describe() Connection {
	return Connection{
		Name: h.name, Peer: h.conn.Peer().String(), Session: h.session, Ours: h.ours, Echo: h.echo, Since: h.since.UTC(),
		Via: string(h.conn.Via()), By: idOf(h.conn.By()), Remote: h.conn.RemoteAddr().String(), Alive: h.conn.Alive(), Moves: h.conn.Moves(),
		TookMS: milliseconds(h.conn.Took()), Sent: h.sent.Load(), Received: h.received.Load(), Ended: h.ended.Load(),
	}
}

// connections are those that are held, by name.
type connections struct {
	most int
	idle time.Duration
	log  *chronicle

	mu     sync.Mutex
	closed bool
	byName map[string]*held
	next   int
}

func newConnections(most int, idle time.Duration, log *chronicle) *connections {
	return &connections{most: most, idle: idle, log: log, byName: make(map[string]*held)}
}

// reserve keeps a name free for a connection that is yet to be made; "" takes
// one that nobody has.
func (c *connections) reserve(name string) (*held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, errClosing
	case len(c.byName) >= c.most:
		return nil, errFull
	case name != "" && c.byName[name] != nil:
		return nil, errTaken
	}
	for name == "" {
		c.next++
		if free := fmt.Sprintf("c%d", c.next); c.byName[free] == nil {
			name = free
		}
	}
	h := &held{name: name, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1)}
	c.byName[name] = h
	return h, nil
}

// fill makes a reserved name a connection's.
func (c *connections) fill(h *held, conn *node.Conn, session int, ours bool) {
	c.mu.Lock()
	if c.closed || c.byName[h.name] != h {
		c.mu.Unlock()
		_ = conn.Reset()
		return
	}
	h.conn, h.session, h.ours, h.since = conn, session, ours, time.Now()
	h.idle = time.AfterFunc(c.idle, func() { c.end(h, true, "nobody has used it") })
	c.mu.Unlock()
	c.log.tell(Event{Event: "opened", At: h.since, Name: h.name, Peer: conn.Peer().String(), Ours: ours, Via: string(conn.Via()), By: idOf(conn.By()), Remote: conn.RemoteAddr().String()})
}

// free gives a name up that nothing came of.
func (c *connections) free(h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.conn == nil && c.byName[h.name] == h {
		delete(c.byName, h.name)
	}
}

// find gives a connection, and keeps it from being idle until done is called.
func (c *connections) find(name string) (h *held, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h = c.byName[name]
	if h == nil || h.conn == nil {
		return nil, nil
	}
	h.busy.Add(1)
	h.idle.Stop()
	return h, func() {
		if h.busy.Add(-1) == 0 {
			h.idle.Reset(c.idle)
		}
	}
}

// end closes a connection and forgets it; abruptly tells the peer that it has
// not got all. Only the first end counts.
func (c *connections) end(h *held, abruptly bool, why string) {
	c.mu.Lock()
	if c.byName[h.name] != h || h.conn == nil {
		c.mu.Unlock()
		return
	}
	delete(c.byName, h.name)
	h.idle.Stop()
	c.mu.Unlock()
	if abruptly {
		_ = h.conn.Reset()
	} else {
		_ = h.conn.Close()
	}
	c.log.tell(Event{Event: "ended", At: time.Now(), Name: h.name, Peer: h.conn.Peer().String(), Error: why})
}

// all gives the connections, the oldest first.
func (c *connections) all() []*held {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := slices.DeleteFunc(slices.Collect(maps.Values(c.byName)), func(h *held) bool { return h.conn == nil })
	slices.SortFunc(made, func(a, b *held) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.name, b.name)) })
	return made
}

// close ends all, now and from now on.
func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, h := range c.all() {
		c.end(h, true, "the node is ending")
	}
}

// seize takes one direction of a connection for oneself. It reports false where
// somebody else has it.
func seize(direction chan struct{}) bool {
	select {
	case direction <- struct{}{}:
		return true
	default:
		return false
	}
}

func release(direction chan struct{}) { <-direction }
