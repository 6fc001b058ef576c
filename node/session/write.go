package session

import (
	"time"
)

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
		if s.pulse.pingID == 0 && s.out.unsent() {
			s.pulse.pingDue = true // the round trip of the first link is not known
		}
		if first := s.notices(c); first != nil {
			pieces = append(pieces, first)
		}
		if s.out.unsent() && s.out.next == s.out.sent {
			s.pulse.trip.sending(s.out.next, s.trial())
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
		if err != nil {
			s.hear(c)
		}
		if err != nil && c == s.carrier {
			s.failed(c, err)
		}
	}
}

// hear waits, after a write has failed on the first link, until the peer's answer
// is read, as far as it has come: a no tells more than that the peer has left after
// it.
func (s *Session) hear(c *carrier) {
	select {
	case <-s.established:
		return
	default:
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	_ = c.link.SetReadDeadline(time.Now().Add(time.Second))
	<-s.established
}

// trial is what goes now and will be answered.
func (s *Session) trial() trial { return trial{time.Now(), !s.out.waiting(), s.received} }

// due reports whether something is to be written.
func (s *Session) due(c *carrier) bool {
	return c.fromDue || s.ackNow || s.pulse.pingDue || len(s.pong) > 0 || s.out.unsent()
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
	// The ACK of CLOSING comes after the streams that were opened before, so
	// that nobody ends the session over them.
	if (s.received > s.told || s.ackNow) && !(s.finished && s.out.unsent()) {
		s.told, s.untold, s.ackNow = s.received, 0, false
		s.ackTo.Stop()
		add(frameAck, uint64Bytes(s.received))
	}
	for _, p := range s.pong {
		add(framePong, p[:])
	}
	s.pong = s.pong[:0]
	if s.pulse.pingDue {
		add(framePing, uint64Bytes(s.pulse.ping(s.trial())))
		s.reschedule()
	}
	return b
}
