package session

import (
	"net"
	"time"
)

// CloseWrite ends what we send: the peer reads io.EOF once it has read all, and
// may go on sending.
func (t *Stream) CloseWrite() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	switch {
	case t.closed:
		return net.ErrClosed
	case t.finished:
		return nil
	case t.s.ended != nil:
		return t.lostError()
	}
	t.finished = true
	t.s.control(frameFin, 0, t.id)
	return nil
}

// Close ends the stream. What was written before is still delivered; Close
// waits until it is handed to the network, for three seconds at most. What the
// peer still sends is not read.
func (t *Stream) Close() error { return t.leave(frameClose, true) }

// CloseNow is Close that waits for nothing: what was written is delivered as
// long as the process and the session last. Whoever must not wait flushes before.
func (t *Stream) CloseNow() error { return t.leave(frameClose, false) }

// WaitClosed waits until the peer reads and writes no more, or the stream is
// closed or lost.
func (t *Stream) WaitClosed() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for !t.closed && !t.peerDone && t.s.ended == nil {
		t.readable.Wait()
	}
}

// Reset ends the stream so that the peer knows that it has not got all.
func (t *Stream) Reset() error { return t.leave(frameReset, true) }

func (t *Stream) leave(with frameType, wait bool) error {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.readBy.stop()
	t.writeBy.stop()
	t.wake()
	s.room.Broadcast()
	if !(t.finished && t.eof) && !t.peerDone || with == frameReset && !t.finished {
		s.control(with, codeReset, t.id)
	}
	t.finished = true
	last := t.last
	if !t.peerDone {
		s.parting = max(s.parting, last)
	}
	t.forget()
	if wait {
		s.flush(last)
	}
	return nil
}

// forget takes the stream out of the session.
func (t *Stream) forget() {
	s := t.s
	if s.streams[t.id] != t {
		return
	}
	delete(s.streams, t.id)
	s.windows -= t.window
	if t.theirs() {
		s.theirs--
	}
	for _, b := range t.in[min(1, len(t.in)):] { // a reader may hold the first
		b.release()
	}
	t.in = nil
	s.settle()
}

// flush waits until the frames below number are handed to the network.
func (s *Session) flush(number uint64) {
	late := false
	timer := time.AfterFunc(flushTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.room.Broadcast()
	})
	defer timer.Stop()
	for !late && s.holds(number) {
		s.room.Wait()
	}
}

// holds reports whether some of the frames below number wait to be handed to
// the network, where there is one.
func (s *Session) holds(number uint64) bool {
	return s.ended == nil && s.carrier != nil && (s.out.sent < number || s.out.pinned && s.out.pin < number)
}
