package session

import (
	"net"
	"os"
)

// Write queues p to be sent. It waits while the peer's window is closed, or
// much waits to be sent already. The error is ErrPeerClosed where the peer
// reads no more. A deadline that passes does not harm the stream: n says how
// much was taken.
func (t *Stream) Write(p []byte) (n int, err error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	for {
		k, err := t.reserve(len(p) - n)
		if err != nil || k == 0 {
			return n, err
		}
		t.queue(p[n : n+k])
		if n += k; n == len(p) {
			return n, nil // whatever the peer may have answered to it by now
		}
	}
}

// Flush waits until what was written is handed to the network, as far as there
// is one at present. The write deadline applies.
func (t *Stream) Flush() error {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := s.out.end(); s.holds(number); s.room.Wait() {
		switch {
		case t.closed:
			return net.ErrClosed
		case t.writeBy.passed():
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

// reserve waits until some of size bytes may be queued, and says how many.
func (t *Stream) reserve(size int) (int, error) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case t.closed || t.finished:
			return 0, net.ErrClosed
		case t.denied != nil:
			return 0, t.denied
		case t.peerDone:
			return 0, ErrPeerClosed
		case s.ended != nil:
			return 0, t.lostError()
		case t.writeBy.passed():
			return 0, os.ErrDeadlineExceeded
		case size == 0:
			return 0, nil
		case t.credit == 0:
			t.writable.Wait()
		case s.out.full():
			s.room.Wait()
		default:
			k := min(size, t.credit, maxPayload)
			t.credit -= k
			return k, nil
		}
	}
}

// queue makes p a frame, or a part of one that still waits to be sent.
func (t *Stream) queue(p []byte) {
	s := t.s
	s.mu.Lock()
	if s.out.extend(t.id, p) {
		s.sent += uint64(len(p))
		s.mu.Unlock()
		return
	}
	busy := s.out.unsent()
	s.mu.Unlock()
	room := len(p)
	if busy { // more may come before it is sent
		room = min(4*room, maxPayload)
	}
	b := newFrame(header{typ: frameData, stream: t.id}, room)
	b.bytes = append(b.bytes, p...)
	b.open = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || t.finished {
		b.release()
		return
	}
	s.out.push(b)
	s.sent += uint64(len(p))
	s.wake.Signal()
}

// control queues a numbered frame that is not data.
func (s *Session) control(typ frameType, code byte, stream uint32, payload ...byte) {
	if s.ended != nil {
		return
	}
	b := newFrame(header{typ: typ, code: code, stream: stream}, len(payload))
	b.bytes = append(b.bytes, payload...)
	number := s.out.push(b)
	if s.out.kept > 2*maxKept {
		_ = s.broken("%d bytes wait for an ACK", s.out.kept)
		return
	}
	if t := s.streams[stream]; t != nil {
		t.last = number + 1
	}
	s.wake.Signal()
}
