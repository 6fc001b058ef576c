package session

import (
	"encoding/binary"
	"errors"

	"github.com/sallyport-net/sallyport/node/link"
)

// deliver does what a numbered frame says. used says that the block is kept.
func (s *Session) deliver(h header, payload []byte, b *block) (used bool, err error) {
	if h.typ == frameClosing {
		s.finished = true
		s.settle()
		return false, nil
	}
	if h.typ == frameOpen {
		return false, s.opened(h)
	}
	t := s.streams[h.stream]
	if t == nil { // closed by us, while this was under way
		if s.mine(h.stream) && h.stream >= s.nextID || !s.mine(h.stream) && h.stream > s.lastID {
			return false, s.broken("frame for stream %d, which was never opened", h.stream)
		}
		return false, nil
	}
	switch h.typ {
	case frameAccept:
		t.accepted = true
	case frameData:
		if t.granted -= h.length; t.granted < 0 || t.eof || t.peerDone {
			return false, s.broken("data beyond the window or the end of stream %d", h.stream)
		}
		used = t.keep(b)
	case frameFin:
		t.eof = true
	case frameClose:
		t.eof, t.peerDone, t.accepted = true, true, true
	case frameReset:
		t.peerDone = true
		switch {
		case t.eof:
		case h.code == codeRefused:
			t.denied = link.ErrRefused
		case h.code == codeBusy:
			t.denied = link.ErrBusy
		default:
			t.denied = ErrReset
		}
	case frameWindow:
		more := binary.BigEndian.Uint32(payload)
		if int64(t.credit)+int64(more) > 4*mostWindow {
			return false, s.broken("a window of %d bytes", int64(t.credit)+int64(more))
		}
		t.credit += int(more)
		t.writable.Broadcast()
		return false, nil
	}
	if t.peerDone {
		t.writable.Broadcast()
		s.room.Broadcast()
	}
	t.readable.Broadcast()
	return used, nil
}

// keep adds a block to what is to be read. A small one is copied to the end of
// the last, unless a reader may hold that: else single bytes would take a
// hundred times their size. used says that the block itself is kept.
func (t *Stream) keep(b *block) (used bool) {
	if n := len(t.in); n > 1 {
		if last := t.in[n-1]; last.room() >= len(b.bytes) {
			last.bytes = append(last.bytes, b.bytes...)
			return false
		}
	}
	t.in = append(t.in, b)
	return true
}

// opened takes a stream of the peer's in.
func (s *Session) opened(h header) error {
	if s.mine(h.stream) || h.stream <= s.lastID || s.finished {
		return s.broken("stream %d opened after %d", h.stream, s.lastID)
	}
	s.lastID = h.stream
	why := error(link.ErrRefused)
	switch {
	case s.theirs >= maxTheirs:
		why = link.ErrBusy
	case Kind(h.code) > Circuit: // of a newer version
	case s.cfg.Accept != nil:
		t := s.newStream(h.stream, Kind(h.code), true)
		s.theirs++
		if why = s.cfg.Accept(t); why == nil {
			s.control(frameAccept, 0, h.stream)
			return nil
		}
		delete(s.streams, h.stream)
		s.windows -= t.window
		s.theirs--
	}
	code := byte(codeRefused)
	if errors.Is(why, link.ErrBusy) {
		code = codeBusy
	}
	s.control(frameReset, code, h.stream)
	return nil
}
