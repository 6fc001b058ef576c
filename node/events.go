package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// noticeBuffer is how many notices wait for a reader that is slow.
const noticeBuffer = 256

// Events tells what happens to the node from now on, beginning with Started. The
// channel is closed when ctx ends, or the node. It holds 256 notices; what comes
// while it is full is dropped, and counted in the next one that fits: a slow
// reader never holds the node up.
//
//	for e := range n.Events(ctx) {
//		switch what := e.What.(type) {
//		case node.Connected:
//			log.Println(what.Peer, "by", what.Via)
//		}
//	}
func (n *Node) Events(ctx context.Context) <-chan Notice {
	return n.events.listen(ctx, func() Started { return Started{n.since, n.Address()} })
}

// events hands notices to those who listen, and knows of each session and broker
// what was told last.
type events struct {
	mu       sync.Mutex
	over     bool
	readers  map[*reader]bool
	sessions map[*session.Session]*told
	number   int // of the latest session
	brokers  map[address.Broker]mqtt.State
}

type reader struct {
	notices chan Notice
	dropped int
}

// told is what is known of a session.
type told struct {
	number int
	since  time.Time
	alive  bool
	moves  int
}

func newEvents() *events {
	return &events{readers: make(map[*reader]bool), sessions: make(map[*session.Session]*told), brokers: make(map[address.Broker]mqtt.State)}
}

func (e *events) listen(ctx context.Context, first func() Started) <-chan Notice {
	r := &reader{notices: make(chan Notice, noticeBuffer)}
	e.mu.Lock()
	if e.over {
		e.mu.Unlock()
		close(r.notices)
		return r.notices
	}
	r.put(first())
	e.readers[r] = true
	e.mu.Unlock()
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.readers[r] {
			delete(e.readers, r)
			close(r.notices)
		}
	})
	return r.notices
}

func (r *reader) put(what Happening) {
	select {
	case r.notices <- Notice{time.Now(), r.dropped, what}:
		r.dropped = 0
	default:
		r.dropped++
	}
}

// tell tells everybody.
func (e *events) tell(what Happening) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.say(what)
}

func (e *events) say(what Happening) {
	for r := range e.readers {
		r.put(what)
	}
}

// close ends all streams.
func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	for r := range e.readers {
		close(r.notices)
	}
	clear(e.readers)
}

// broker tells of a broker that is up, or down since the last time.
func (e *events) broker(b address.Broker, s mqtt.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was, known := e.brokers[b]
	e.brokers[b] = s
	switch {
	case s.Open && !was.Open:
		e.say(BrokerUp{b, s.Endpoint})
	case !s.Open && (was.Open || !known):
		e.say(BrokerDown{b, s.Endpoint, s.Err})
	}
	if len(e.brokers) > maxToldBrokers { // of peers, mostly
		maps.DeleteFunc(e.brokers, func(_ address.Broker, s mqtt.State) bool { return !s.Open })
	}
}

// maxToldBrokers is how many brokers are remembered; those that are not open are
// forgotten beyond that.
const maxToldBrokers = 256

// begun tells of a new session.
func (e *events) begun(s *session.Session) {
	stats, p := s.Stats(), pathIn(s)
	_, remote := s.Addrs()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.number++
	e.sessions[s] = &told{number: e.number, since: time.Now(), alive: true, moves: stats.Moves}
	e.say(Connected{e.number, s.Peer(), s.Opener(), p.via, p.by, remote})
}

// look tells what has changed on a session's path. Those who call it come in
// any order, so that it looks for itself.
func (e *events) look(s *session.Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.sessions[s]
	if t == nil {
		return
	}
	stats := s.Stats()
	if stats.Moves != t.moves {
		t.moves, t.alive = stats.Moves, true
		_, remote := s.Addrs()
		p := pathIn(s)
		e.say(PathMoved{t.number, s.Peer(), p.via, p.by, remote})
	}
	if over(s) || stats.Alive == t.alive {
		return
	}
	if t.alive = stats.Alive; t.alive {
		e.say(PathBack{t.number, s.Peer()})
	} else {
		e.say(PathLost{t.number, s.Peer()})
	}
}

// ended tells of the end of a session.
func (e *events) ended(s *session.Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.sessions[s]; t != nil {
		delete(e.sessions, s)
		e.say(Closed{t.number, s.Peer(), s.Err()})
	}
}

// known gives what is known of the sessions, the oldest first.
func (e *events) known() (list []*session.Session, about []told) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list = slices.SortedFunc(maps.Keys(e.sessions), func(a, b *session.Session) int { return e.sessions[a].number - e.sessions[b].number })
	for _, s := range list {
		about = append(about, *e.sessions[s])
	}
	return list, about
}

// tellAddress tells of each address that is another, until the node ends.
func (n *Node) tellAddress() {
	last := n.Address()
	for {
		a, err := n.NextAddress(n.ctx, last)
		if err != nil {
			return
		}
		last = a
		n.events.tell(AddressChanged{a})
	}
}
