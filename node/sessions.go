package node

import (
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
)

// mostCutLife is how long a session waits for a path when the peer's machine
// ended the last one.
const mostCutLife = 15 * time.Second

// sessions are a node's, by name.
type sessions struct {
	mu   sync.Mutex
	byID map[session.ID]*session.Session

	thinning sync.Mutex // is held by who ends some because too many wait
}

func newSessions() *sessions { return &sessions{byID: make(map[session.ID]*session.Session)} }

func (l *sessions) add(s *session.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !over(s) {
		l.byID[s.ID()] = s
	}
}

func (l *sessions) remove(s *session.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byID, s.ID())
}

// find gives the session of that name, if it is peer's.
func (l *sessions) find(id session.ID, peer address.Key) *session.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.byID[id]; s != nil && s.Peer() == peer {
		return s
	}
	return nil
}

// all gives those for which ok holds.
func (l *sessions) all(ok func(*session.Session) bool) []*session.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*session.Session
	for _, s := range l.byID {
		if ok(s) {
			found = append(found, s)
		}
	}
	return found
}

// count is how many there are for which ok holds.
func (l *sessions) count(ok func(*session.Session) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byID {
		if ok(s) {
			n++
		}
	}
	return n
}

// reuse opens a stream on a session with peer, if one is alive that will do.
func (n *Node) reuse(peer address.Key, kind session.Kind) *Conn {
	for _, s := range n.sessions.all(func(s *session.Session) bool { return s.Peer() == peer }) {
		if kind == session.Circuit && pathIn(s).via == Relay {
			continue // a circuit through a circuit helps nobody
		}
		if t, err := s.Open(kind); err == nil {
			return &Conn{Stream: t, log: []Event{{What: "a stream of the session that is there"}}}
		}
	}
	return nil
}

// begin makes a nominated link a session, with a first stream of that kind at the
// end that has called. r calls again when the path is lost; it is nil at the
// acceptor.
func (n *Node) begin(l *link.Conn, attempt [16]byte, via Strategy, r *rescuer, kind session.Kind) (*session.Stream, error) {
	cfg := session.Config{
		Opener: r != nil, Attempt: attempt, Path: pathOf(l, via), Logger: n.log,
		SilentLife: n.cfg.HoldOn, CutLife: min(n.cfg.HoldOn, mostCutLife),
		Carried: func(p any) bool { return !p.(path).by.IsZero() }, // by a node, which may be restarted
		Accept:  n.take, Back: n.events.look, Moved: n.events.look,
		Lost:  func(s *session.Session) { n.events.look(s); n.thin(); n.doubt(); n.checkThrough(s.Peer()) },
		Ended: func(s *session.Session) { n.sessions.remove(s); n.events.ended(s) },
	}
	if r != nil {
		cfg.Need = func(s *session.Session) { n.during(func() { r.rescue(s) }) }
		cfg.Moved = func(s *session.Session) { n.events.look(s); r.moved(s) }
	}
	var s *session.Session
	var first *session.Stream
	var err error
	if r != nil {
		s, first, err = session.Begin(l, cfg, kind)
	} else {
		s, err = session.New(l, cfg)
	}
	if err != nil {
		return nil, err
	}
	n.sessions.add(s)
	n.events.begun(s)
	if over(s) { // before it was told of
		n.events.ended(s)
	}
	if s.Waits() { // its path was lost before
		n.events.look(s)
		n.thin()
	}
	if n.ctx.Err() != nil {
		s.Abandon()
	}
	if r != nil {
		r.moved(s)
	}
	return first, nil
}

// take takes a stream that a peer has opened.
func (n *Node) take(t *session.Stream) error {
	admission := n.admission()
	switch {
	case n.ctx.Err() != nil:
		return link.ErrRefused
	case t.Kind() == session.Circuit:
		return n.takeCircuit(t)
	case admission.Level(t.Peer()) == signaling.Stranger:
		return link.ErrRefused
	case t.Kind() == session.Echo:
		if !n.spawn(func() { n.echo(t) }) {
			return link.ErrRefused
		}
		return nil
	case t.Tunnel() && !n.cfg.Tunnels:
		return session.ErrNotServed
	}
	select {
	case n.backlog <- &Conn{Stream: t}:
		return nil
	default:
		return link.ErrBusy
	}
}

// resume goes on with a session over a link that its opener has made.
func (n *Node) resume(l *link.Conn) {
	request, err := session.ReadRequest(l)
	if err != nil {
		return
	}
	s := n.sessions.find(request.ID, l.Peer())
	if s == nil {
		request.Unknown()
		return
	}
	if err := s.Answer(request, pathOf(l, acceptedVia(l))); err != nil {
		n.log.Info("not resumed", "peer", l.Peer().Short(), "error", err)
	}
}

// acceptedVia is what is known of the way by which a peer has reached us.
func acceptedVia(l *link.Conn) Strategy {
	if isRelayed(l) {
		return Relay
	}
	return ""
}

// doubt is for when a path has died: what died with it, such as the brokers'
// connections, is found out at once.
func (n *Node) doubt() {
	n.channel.Wake()
	n.suspect()
}

// checkSessions has every session ask for a sign of life: the network has
// changed.
func (n *Node) checkSessions() {
	for _, s := range n.sessions.all(func(*session.Session) bool { return true }) {
		s.Check()
	}
}

// checkThrough does the same for those that run through a node which cannot be
// heard any more.
func (n *Node) checkThrough(relay address.Key) {
	for _, s := range n.sessions.all(func(s *session.Session) bool { return pathIn(s).by == relay }) {
		s.Check()
	}
}

// spawn runs f in a goroutine that Close waits for. It reports whether it did:
// a node that is closing begins nothing.
func (n *Node) spawn(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.all.Go(f)
	return true
}

// during runs f so that Close waits for it, if the node is not closing.
func (n *Node) during(f func()) {
	n.mu.Lock()
	if n.ctx.Err() != nil {
		n.mu.Unlock()
		return
	}
	n.all.Add(1)
	n.mu.Unlock()
	defer n.all.Done()
	f()
}

// leaveCircuits ends what is left of circuits that nobody uses any more, and then
// the sessions that have carried them: else the nodes that relay would keep a place
// for each until they give us up.
func (n *Node) leaveCircuits() {
	carried := n.sessions.all(func(s *session.Session) bool { return !pathIn(s).by.IsZero() })
	var relays []address.Key
	var ends sync.WaitGroup
	for _, s := range carried {
		relays = append(relays, pathIn(s).by)
		ends.Go(s.Depart)
	}
	ends.Wait()
	for _, s := range n.sessions.all(func(s *session.Session) bool { return slices.Contains(relays, s.Peer()) }) {
		ends.Go(s.Depart)
	}
	ends.Wait()
}
