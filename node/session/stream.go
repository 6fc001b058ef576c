package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
)

const (
	firstWindow = 256 << 10
	mostWindow  = 8 << 20
	// mostWindows is what the windows of a session may come to; those of new
	// streams are not refused.
	mostWindows = 32 << 20
	// maxTheirs is how many streams the peer may have open.
	maxTheirs = 256
	// flushTime bounds how long Close waits for what was written.
	flushTime = 3 * time.Second
)

// Codes of RESET.
const (
	codeReset   = 0
	codeRefused = 1
	codeBusy    = 2
)

// Stream is a net.Conn with half-close within a session.
type Stream struct {
	s    *Session
	id   uint32
	echo bool

	reading, writing sync.Mutex // one reader, one writer at a time

	// Under the session's lock:
	readable, writable sync.Cond
	readBy, writeBy    deadline
	in                 []*block // has come and was not read
	accepted           bool     // by its acceptor
	denied             error    // why the peer does not want it
	eof                bool     // no more data from the peer
	peerDone           bool     // the peer neither sends nor reads any more
	finished           bool     // FIN, CLOSE or RESET is sent
	closed             bool     // by our application
	credit             int      // how much we may send
	last               uint64   // number of our last frame, and one
	window             int      // the receive window
	granted            int      // of it, what the peer may still send
	consumed           int      // of it, what was read and not granted again
	grantedAt          time.Time
}

var _ net.Conn = (*Stream)(nil)

func (s *Session) newStream(id uint32, echo, theirs bool) *Stream {
	t := &Stream{s: s, id: id, echo: echo, accepted: theirs, credit: firstWindow, window: firstWindow, granted: firstWindow}
	t.readable.L, t.writable.L = &s.mu, &s.mu
	s.streams[id] = t
	s.windows += firstWindow
	return t
}

// theirs reports whether the peer opened the stream.
func (t *Stream) theirs() bool { return !t.s.mine(t.id) }

// mine reports whether a stream of that number is this end's.
func (s *Session) mine(id uint32) bool { return id%2 == 1 == s.cfg.Opener }

// Session is what the stream belongs to.
func (t *Stream) Session() *Session { return t.s }

// Echo reports whether the peer asked for every byte to be sent back.
func (t *Stream) Echo() bool { return t.echo }

// Peer is the proven key of the other end.
func (t *Stream) Peer() address.Key { return t.s.peer }

func (t *Stream) wake() {
	t.readable.Broadcast()
	t.writable.Broadcast()
}

// Verdict waits for the peer's answer to the stream: nil means that it has
// been taken. The read deadline applies.
func (t *Stream) Verdict() error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for {
		switch {
		case t.denied != nil:
			return t.denied
		case t.accepted:
			return nil
		case t.s.ended != nil:
			return t.s.ended
		case t.readBy.passed():
			return os.ErrDeadlineExceeded
		}
		t.readable.Wait()
	}
}

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
	if s.pulse.rtt > 0 && now.Sub(t.grantedAt) < 2*s.pulse.rtt && t.window < mostWindow && s.windows+t.window <= mostWindows {
		more += t.window
		s.windows += t.window
		t.window *= 2
	}
	t.grantedAt = now
	t.consumed = 0
	t.granted += more
	s.control(frameWindow, 0, t.id, byte(more>>24), byte(more>>16), byte(more>>8), byte(more))
}

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
		n += k
	}
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
func (t *Stream) Close() error {
	return t.leave(frameClose, codeReset)
}

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
func (t *Stream) Reset() error { return t.leave(frameReset, codeReset) }

func (t *Stream) leave(with frameType, code byte) error {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.wake()
	s.room.Broadcast()
	if !(t.finished && t.eof) && !t.peerDone || with == frameReset && !t.finished {
		s.control(with, code, t.id)
	}
	t.finished = true
	last := t.last
	if !t.peerDone {
		s.parting = max(s.parting, last)
	}
	t.forget()
	s.flush(last)
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
	for !late && s.ended == nil && s.carrier != nil && (s.out.sent < number || s.out.pinned && s.out.pin < number) {
		s.room.Wait()
	}
}

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
		if t.granted -= h.length; t.granted < 0 || t.eof {
			return false, s.broken("data beyond the window or the end of stream %d", h.stream)
		}
		t.in = append(t.in, b)
		used = true
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

// opened takes a stream of the peer's in.
func (s *Session) opened(h header) error {
	if s.mine(h.stream) || h.stream <= s.lastID || s.finished || h.code > 1 {
		return s.broken("stream %d opened after %d", h.stream, s.lastID)
	}
	s.lastID = h.stream
	why := error(link.ErrRefused)
	switch {
	case s.theirs >= maxTheirs:
		why = link.ErrBusy
	case s.cfg.Accept != nil:
		t := s.newStream(h.stream, h.code == 1, true)
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

func (t *Stream) kind() int {
	if t.echo {
		return 1
	}
	return 0
}

// LocalAddr is this end's address on the link in use.
func (t *Stream) LocalAddr() net.Addr { local, _ := t.s.Addrs(); return local }

// RemoteAddr is the other end's address on the link in use, as this machine
// sees it.
func (t *Stream) RemoteAddr() net.Addr { _, remote := t.s.Addrs(); return remote }

// String names the stream for logs.
func (t *Stream) String() string { return fmt.Sprintf("stream %d with %s", t.id, t.s.peer.Short()) }
