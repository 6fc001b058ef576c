package session

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// read reads a link until it ends.
func (s *Session) read(c *carrier) {
	err := c.link.Verdict()
	if err == nil {
		s.mu.Lock()
		s.establish()
		s.mu.Unlock()
		err = s.receive(c)
	}
	s.mu.Lock()
	s.failed(c, err)
	s.mu.Unlock()
}

func (s *Session) receive(c *carrier) error {
	scratch := make([]byte, 16)
	for {
		head := scratch[:headerSize]
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		h, err := parseHeader(head)
		if err != nil {
			return err
		}
		payload := scratch[headerSize:][:min(h.length, 8)]
		var b *block
		if h.typ == frameData {
			b = newBlock(h.length)
			b.bytes = b.bytes[:h.length]
			payload = b.bytes
		}
		if _, err := io.ReadFull(c, payload); err != nil {
			if b != nil {
				b.release()
			}
			return err
		}
		s.mu.Lock()
		used, err := s.handle(c, h, payload, b)
		s.mu.Unlock()
		if b != nil && !used {
			b.release()
		}
		if err != nil {
			return err
		}
	}
}

// handle takes a frame in. used says that the block is the session's now.
func (s *Session) handle(c *carrier, h header, payload []byte, b *block) (used bool, err error) {
	if s.ended != nil {
		return false, s.ended
	}
	if h.typ.numbered() {
		return s.numbered(c, h, payload, b)
	}
	switch h.typ {
	case frameFrom:
		c.expect = binary.BigEndian.Uint64(payload)
		for c.expect > s.received && s.ended == nil && len(s.carriers) > 1 {
			s.arrived.Wait() // the old link brings the rest
		}
		if c.started || c.expect > s.received {
			return false, fmt.Errorf("%w: a link that begins at frame %d where %d is the next", errProtocol, c.expect, s.received)
		}
		c.started = true
		s.retire()
	case frameAck:
		before := s.out.kept
		if !s.out.acknowledge(binary.BigEndian.Uint64(payload)) {
			return false, fmt.Errorf("%w: it acknowledges what was not sent", errProtocol)
		}
		s.pulse.delivered(time.Now(), before-s.out.kept)
		s.room.Broadcast()
		s.retire()
		if s.closing {
			s.settle()
		}
	case framePing:
		if len(s.pong) < maxPongs {
			s.pong = append(s.pong, [8]byte(payload))
			s.wake.Signal()
		}
	case framePong:
		s.pulse.ponged(time.Now(), binary.BigEndian.Uint64(payload))
	}
	return false, nil
}

// numbered takes a numbered frame in, if it has not come before.
func (s *Session) numbered(c *carrier, h header, payload []byte, b *block) (used bool, err error) {
	if !c.started {
		return false, fmt.Errorf("%w: a link that does not say where it begins", errProtocol)
	}
	number := c.expect
	c.expect++
	switch {
	case number < s.received:
		return false, nil
	case number > s.received:
		return false, fmt.Errorf("%w: frame %d where %d is the next", errProtocol, number, s.received)
	}
	if s.received == s.told {
		s.ackTo.Reset(ackDelay)
	}
	s.received++
	if h.typ == frameData {
		s.came += uint64(h.length)
	}
	s.untold += headerSize + h.length
	s.pulse.active(time.Now())
	s.arrived.Broadcast()
	if used, err = s.deliver(h, payload, b); err != nil {
		return used, err
	}
	if s.untold >= ackBytes || s.received-s.told >= ackFrames {
		s.ackNow = true
		s.wake.Signal()
	}
	return used, nil
}

// ackLate has what was received acknowledged, when nothing else was sent.
func (s *Session) ackLate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil && s.received > s.told {
		s.ackNow = true
		s.wake.Signal()
	}
}

// write writes to whichever link is in use, until the session ends.
func (s *Session) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pieces [][]byte
	for s.ended == nil {
		if s.next != nil {
			s.adopt(s.next, true)
		}
		c := s.carrier
		if c == nil || !s.due(c) {
			pieces = nil
			s.wake.Wait()
			continue
		}
		pieces = pieces[:0]
		if first := s.notices(c); first != nil {
			pieces = append(pieces, first)
		}
		pieces = s.out.take(pieces)
		if s.out.waiting() && s.pulse.await(time.Now()) {
			s.reschedule()
		}
		s.mu.Unlock()
		err := c.link.WriteBatch(pieces...)
		s.mu.Lock()
		s.out.written()
		s.room.Broadcast()
		if err != nil && c == s.carrier {
			s.failed(c, err)
		}
	}
}

// due reports whether something is to be written.
func (s *Session) due(c *carrier) bool {
	return c.fromDue || s.ackNow || s.pulse.pingDue || len(s.pong) > 0 || s.out.unsent()
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
	now := time.Now()
	s.pulse = pulse{opener: s.pulse.opener, pingID: s.pulse.pingID, lastHeard: now, lastActive: now, pingDue: true}
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
	for old := range s.carriers {
		if old != s.carrier && old != s.next {
			_ = old.link.NetConn().Close()
		}
	}
}

// notices are the frames without numbers that go first.
func (s *Session) notices(c *carrier) []byte {
	var b []byte
	add := func(t frameType, payload []byte) {
		b = append(b, make([]byte, headerSize)...)
		header{typ: t, length: len(payload)}.put(b[len(b)-headerSize:])
		b = append(b, payload...)
	}
	if c.fromDue {
		c.fromDue = false
		add(frameFrom, uint64Bytes(c.base))
	}
	if s.received > s.told {
		s.told, s.untold, s.ackNow = s.received, 0, false
		s.ackTo.Stop()
		add(frameAck, uint64Bytes(s.received))
	}
	for _, p := range s.pong {
		add(framePong, p[:])
	}
	s.pong = s.pong[:0]
	if s.pulse.pingDue {
		add(framePing, uint64Bytes(s.pulse.ping(time.Now())))
		s.reschedule()
	}
	return b
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
	if s.pulse.suspect {
		life = s.cfg.SilentLife
	}
	s.tell()
	s.wait(life)
	s.need()
}
