package session

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

const (
	firstWindow = 256 << 10
	mostWindow  = 8 << 20
	// quick is how soon a window counts as read fast, whatever the round trip.
	quick = 20 * time.Millisecond
	// mostWindows is what the windows of a session may come to; those of new
	// streams are not refused.
	mostWindows = 32 << 20
	// maxTheirs is how many streams the peer may have open.
	maxTheirs = 256
	// flushTime bounds how long Close waits for what was written.
	flushTime = 3 * time.Second
)

// Stream is a net.Conn with half-close within a session.
type Stream struct {
	s    *Session
	id   uint32
	kind Kind

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
	most               int      // what it may grow to
	granted            int      // of it, what the peer may still send
	consumed           int      // of it, what was read and not granted again
	grantedAt          time.Time
}

var _ net.Conn = (*Stream)(nil)

func (s *Session) newStream(id uint32, kind Kind, theirs bool) *Stream {
	t := &Stream{s: s, id: id, kind: kind, accepted: theirs, credit: firstWindow, window: firstWindow, most: mostWindow, granted: firstWindow}
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

// Kind is what the stream is for, as the end that opened it says.
func (t *Stream) Kind() Kind { return t.kind }

// Peer is the proven key of the other end.
func (t *Stream) Peer() address.Key { return t.s.peer }

// Narrow bounds what a stream's receive window may still grow to, so that a peer
// which sends what nobody reads takes no more than that, or 256 KiB. By default it
// is 8 MiB.
func Narrow(t *Stream, most int) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.most = most
}

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

// LocalAddr is this end's address on the link in use.
func (t *Stream) LocalAddr() net.Addr { local, _ := t.s.Addrs(); return local }

// RemoteAddr is the other end's address on the link in use, as this machine
// sees it.
func (t *Stream) RemoteAddr() net.Addr { _, remote := t.s.Addrs(); return remote }

// String names the stream for logs.
func (t *Stream) String() string { return fmt.Sprintf("stream %d with %s", t.id, t.s.peer.Short()) }
