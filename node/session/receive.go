package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// read reads a link until it ends.
func (s *Session) read(c *carrier) {
	err := c.link.Verdict()
	if err == nil {
		s.mu.Lock()
		s.establish()
		s.mu.Unlock()
		err = s.receive(c)
	}
	s.note(err) // not in failed: the writer may have found the link's end already
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
	if s.pulse.suspect && c == s.carrier {
		s.reschedule() // it is heard again
	}
	if h.typ.numbered() {
		return s.numbered(c, h, payload, b)
	}
	switch h.typ {
	case frameFrom:
		if c.started {
			return false, fmt.Errorf("%w: a link that begins twice", errProtocol)
		}
		c.expect = binary.BigEndian.Uint64(payload)
		for c.expect > s.received && c.gentle && !c.closed && s.ended == nil && len(s.carriers) > 1 {
			s.arrived.Wait() // the old link brings the rest
		}
		switch {
		case s.ended != nil:
			return false, s.ended
		case c.expect > s.received && c.gentle:
			return false, errors.New("the old link has ended before it brought all")
		case c.expect > s.received:
			return false, fmt.Errorf("%w: a link that begins at frame %d where %d is the next", errProtocol, c.expect, s.received)
		}
		c.started = true
		s.retire()
	case frameAck:
		before, number, now := s.out.kept, binary.BigEndian.Uint64(payload), time.Now()
		if !s.out.acknowledge(number) {
			return false, fmt.Errorf("%w: it acknowledges what was not sent", errProtocol)
		}
		s.pulse.trip.acknowledged(now, number, s.received)
		s.pulse.delivered(now, before-s.out.kept, before)
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
		s.pulse.ponged(time.Now(), binary.BigEndian.Uint64(payload), s.received)
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
