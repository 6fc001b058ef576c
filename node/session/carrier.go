package session

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

const (
	// ackBytes, ackFrames and ackDelay bound how much has arrived, and for how
	// long, before it is acknowledged.
	ackBytes  = 256 << 10
	ackFrames = 64
	ackDelay  = 25 * time.Millisecond
	// maxPongs is how many PINGs wait for their answer; more are dropped.
	maxPongs = 4
)

// carrier is one link of a session.
type carrier struct {
	link    *link.Conn
	path    any
	fromDue bool         // we owe the number that comes first
	base    uint64       // which is this
	gentle  bool         // the other end may begin above what we have: the old one brings the rest
	closed  bool         // by us, for another
	started bool         // the peer has told its own
	expect  uint64       // number of the next numbered frame
	heard   atomic.Int64 // when bytes came last, in nanoseconds since start
}

// start is what instants count from where they must be atomic.
var start = time.Now()

// touch notes that the link is alive.
func (c *carrier) touch() { c.heard.Store(int64(time.Since(start))) }

// lastHeard is when it was touched last.
func (c *carrier) lastHeard() time.Time { return start.Add(time.Duration(c.heard.Load())) }

// Read reads from the link and notes when.
func (c *carrier) Read(p []byte) (int, error) {
	n, err := c.link.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// adopt makes a link the one in use. Where the old one is alive, what was
// handed to it arrives there, and the new one goes on from there; otherwise
// everything that has not arrived is sent again.
func (s *Session) adopt(c *carrier, alive bool) {
	s.carrier, s.next, s.past = c, nil, nil
	if !alive {
		s.out.rewind()
	}
	c.base, c.fromDue = s.out.next, true
	// An ACK that was on the old link may be lost, and what it told will not
	// come again.
	s.ackNow = true
	s.pulse = s.pulse.moved(time.Now())
	if s.life != nil {
		s.life.Stop()
	}
	s.moves++
	s.tell()
	s.reschedule()
	s.wake.Signal()
	s.room.Broadcast()
	if s.cfg.Moved != nil {
		go s.cfg.Moved(s)
	}
}

// retire closes the links before the one in use, once both ends have got what
// went over them.
func (s *Session) retire() {
	if c := s.carrier; c == nil || len(s.carriers) == 1 || !c.started || c.fromDue || s.out.acked < c.base {
		return
	}
	s.closeAllBut(s.carrier, s.next)
}

// closeAllBut closes every link but two.
func (s *Session) closeAllBut(one, two *carrier) {
	for c := range s.carriers {
		if c != one && c != two {
			c.closed = true
			_ = c.link.NetConn().Close()
		}
	}
	s.arrived.Broadcast()
}

// failed ends a link. If it is the one in use, the session is lost until there
// is another.
func (s *Session) failed(c *carrier, why error) {
	if !s.carriers[c] {
		return
	}
	delete(s.carriers, c)
	s.arrived.Broadcast()
	_ = c.link.NetConn().Close()
	if c == s.next {
		s.next = nil
	}
	if s.ended != nil || c != s.carrier {
		return
	}
	if errors.Is(why, errProtocol) {
		s.dud++
		s.log.Info("link of a session dropped", "peer", s.peer.Short(), "why", why)
	}
	select {
	case <-s.established:
	default: // the first link, and the peer's answer was a no, or none
		s.end(why)
		return
	}
	if s.next != nil {
		s.adopt(s.next, false)
		return
	}
	s.carrier, s.past = nil, c
	s.ackNow = false
	s.closeAllBut(nil, nil) // an old one could still bring something, but take no answer
	switch {
	case !s.worth() || errors.Is(why, io.EOF) && !errors.Is(why, link.ErrCut): // the peer has said goodbye
		s.end(io.EOF)
		return
	case s.alone:
		s.end(ErrGone)
		return
	}
	s.log.Info("link of a session lost", "peer", s.peer.Short(), "why", why)
	life := s.cfg.CutLife
	if s.pulse.suspect || s.cfg.Carried != nil && s.cfg.Carried(c.path) {
		life = s.cfg.SilentLife
	}
	s.tell()
	s.wait(life)
	s.lost()
}
