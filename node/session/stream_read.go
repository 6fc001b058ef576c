package session

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Read reads what the peer has written. It gives io.EOF where the peer has
// ended the stream, ErrReset where it gave up, ErrGone where the session did
// not survive.
func (t *Stream) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	b, err := t.head()
	if err != nil {
		return 0, err
	}
	n := copy(p, b.unread()) // only a reader touches the head
	t.read(b, n)
	return n, nil
}

// WriteTo writes to w what comes, until the stream ends; io.Copy uses it.
func (t *Stream) WriteTo(w io.Writer) (total int64, err error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for {
		b, err := t.head()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(b.unread())
		total += int64(n)
		t.read(b, n)
		if err != nil {
			return total, err
		}
	}
}

// head waits for the next block to read.
func (t *Stream) head() (*block, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for {
		switch {
		case t.closed:
			return nil, net.ErrClosed
		case t.readBy.passed():
			return nil, os.ErrDeadlineExceeded
		case len(t.in) > 0:
			return t.in[0], nil
		case t.eof:
			return nil, io.EOF
		case t.denied != nil:
			return nil, t.denied
		case t.s.ended != nil:
			return nil, t.lostError()
		}
		t.readable.Wait()
	}
}

// lostError is what a stream says when its session has ended.
func (t *Stream) lostError() error {
	if errors.Is(t.s.ended, io.EOF) {
		return ErrGone
	}
	return t.s.ended
}

// read notes that n bytes of the head were read, and lets the peer send as many
// more.
func (t *Stream) read(b *block, n int) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	b.read += n
	if len(b.unread()) == 0 {
		if len(t.in) > 0 && t.in[0] == b {
			t.in[0] = nil
			if t.in = t.in[1:]; len(t.in) == 0 {
				t.in = nil
			}
		}
		b.release()
	}
	t.consumed += n
	if t.closed || t.eof || s.ended != nil || t.consumed < t.window/2 {
		return
	}
	now := time.Now()
	more := t.consumed
	if now.Sub(t.grantedAt) < max(2*s.pulse.trip.is, quick) && 2*t.window <= t.most && s.windows+t.window <= mostWindows {
		more += t.window
		s.windows += t.window
		t.window *= 2
	}
	t.grantedAt = now
	t.consumed = 0
	t.granted += more
	s.control(frameWindow, 0, t.id, byte(more>>24), byte(more>>16), byte(more>>8), byte(more))
}
