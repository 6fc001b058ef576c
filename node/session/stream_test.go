package session

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

func TestStreamsCarryBytesBothWaysAndHalfClose(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	mustWrite(t, near, "hello")
	mustRead(t, far, "hello")
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("after CloseWrite: %v", err)
	}
	mustWrite(t, far, "after the end")
	mustRead(t, near, "after the end")
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("after Close: %v", err)
	}
	near.Close()
	for _, s := range []*Session{e.opener, e.acceptor} {
		select {
		case <-s.Over():
		case <-time.After(ample):
			t.Fatal("the session outlives its last stream")
		}
		if !errors.Is(s.ended, io.EOF) {
			t.Errorf("it ended with %v", s.ended)
		}
	}
}

func TestDataMayGoBeforeTheStreamIsTakenAndCloseDeliversIt(t *testing.T) {
	e := begin(t)
	near, err := e.opener.Open(Application)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 200<<10)
	for i := range want {
		want[i] = byte(rand.IntN(256))
	}
	if _, err := near.Write(want); err != nil {
		t.Fatal(err)
	}
	near.Close()
	got, err := io.ReadAll(<-e.streams)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestEndsOfAStream(t *testing.T) {
	e := begin(t)
	e.open() // keeps the session
	t.Run("a closed peer takes no more", func(t *testing.T) {
		near, far := e.open()
		far.Close()
		eventually(t, "writes fail", func() bool { _, err := near.Write([]byte("x")); return errors.Is(err, ErrPeerClosed) })
		near.Close()
	})
	t.Run("a reset is no end", func(t *testing.T) {
		near, far := e.open()
		mustWrite(t, near, "not all")
		near.Reset()
		mustRead(t, far, "not all")
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, ErrReset) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read gave %v", err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("write gave %v", err)
		}
		far.Close()
	})
	t.Run("our own close", func(t *testing.T) {
		near, far := e.open()
		reading := make(chan error, 1)
		go func() { _, err := near.Read(make([]byte, 1)); reading <- err }()
		near.Close()
		if err := <-reading; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read gave %v", err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write gave %v", err)
		}
		far.Close()
	})
}

func TestAcceptorsAnswer(t *testing.T) {
	for _, want := range []error{nil, link.ErrBusy, link.ErrRefused} {
		e := begin(t, func(_, a *Config) { a.Accept = func(*Stream) error { return want } })
		near, err := e.opener.Open(Application)
		if err != nil {
			t.Fatal(err)
		}
		if err := near.Verdict(); !errors.Is(err, want) {
			t.Errorf("verdict %v, want %v", err, want)
		}
		if want != nil {
			if _, err := near.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("read gave %v, want %v", err, want)
			}
		}
	}
}

// The first stream is there before the peer's no, and gives it, however soon that
// comes: nobody has to be quicker than the peer.
func TestTheFirstStreamGivesTheRefusal(t *testing.T) {
	for _, why := range []error{link.ErrRefused, link.ErrLost, link.ErrBusy} {
		a, b := identity(t), identity(t)
		x, y := tcp(t)
		refused := make(chan error, 1)
		go func() {
			l, err := link.Server(t.Context(), y, b)
			if err == nil {
				if _, _, err = l.Nomination(time.Now().Add(ample)); err == nil {
					l.Refuse(why)
				}
			}
			refused <- err
		}()
		l, err := link.Client(t.Context(), x, a, b.Key(), link.Token{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Nominate([16]byte{1}, link.Session)
		if err != nil {
			t.Fatal(err)
		}
		s, first, err := Begin(c, Config{Opener: true, Attempt: [16]byte{1}}, Application)
		if err != nil {
			t.Fatal(err)
		}
		<-s.Over()
		if err := first.Verdict(); !errors.Is(err, why) {
			t.Errorf("the verdict is %v, not %v", err, why)
		}
		if _, err := first.Read(make([]byte, 1)); !errors.Is(err, why) {
			t.Errorf("read gave %v, not %v", err, why)
		}
		if _, err := s.Open(Application); !errors.Is(err, ErrEnding) {
			t.Errorf("another stream: %v", err)
		}
		if err := <-refused; err != nil {
			t.Error(err)
		}
	}
}

// leaving is a connection whose peer has answered and left before a word more is
// written: that fails first, and what has come is read only then.
type leaving struct {
	net.Conn
	left   chan struct{} // closed when the peer has left
	failed chan struct{} // closed when a write has failed
	once   sync.Once
}

func (l *leaving) Write(p []byte) (int, error) {
	select {
	case <-l.left:
		l.once.Do(func() { close(l.failed) })
		return 0, syscall.EPIPE
	default:
		return l.Conn.Write(p)
	}
}

func (l *leaving) Read(p []byte) (int, error) {
	select {
	case <-l.left:
		<-l.failed
	default:
	}
	return l.Conn.Read(p)
}

func TestARefusalIsHeardAfterAWriteHasFailed(t *testing.T) {
	a, b := identity(t), identity(t)
	x, y := tcp(t)
	near := &leaving{Conn: x, left: make(chan struct{}), failed: make(chan struct{})}
	refused := make(chan error, 1)
	go func() {
		l, err := link.Server(t.Context(), y, b)
		if err == nil {
			if _, _, err = l.Nomination(time.Now().Add(ample)); err == nil {
				l.Refuse(link.ErrRefused)
			}
		}
		refused <- err
	}()
	l, err := link.Client(t.Context(), near, a, b.Key(), link.Token{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Nominate([16]byte{1}, link.Session)
	if err != nil {
		t.Fatal(err)
	}
	close(near.left)
	_, first, err := Begin(c, Config{Opener: true, Attempt: [16]byte{1}}, Application)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Verdict(); !errors.Is(err, link.ErrRefused) {
		t.Errorf("the verdict is %v, not %v", err, link.ErrRefused)
	}
	if err := <-refused; err != nil {
		t.Error(err)
	}
}

func TestTheAcceptorOpensStreamsToo(t *testing.T) {
	e := begin(t)
	near, _ := e.open()
	defer near.Close()
	for range 3 {
		far, err := e.acceptor.Open(Echo)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, far, "to the opener")
		s := <-e.back
		if s.Kind() != Echo {
			t.Error("the kind was lost")
		}
		mustRead(t, s, "to the opener")
		far.Close()
		s.Close()
	}
}

func TestASlowStreamStopsNoOther(t *testing.T) {
	e := begin(t)
	slow, slowFar := e.open()
	go func() { // the window is used up, however long that takes
		defer slow.SetWriteDeadline(time.Unix(1, 0))
		eventually(t, "the window is used up", func() bool {
			e.opener.mu.Lock()
			defer e.opener.mu.Unlock()
			return slow.credit == 0
		})
	}()
	n, err := slow.Write(make([]byte, 1<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n != firstWindow {
		t.Fatalf("%d bytes, %v: want the window of %d", n, err, firstWindow)
	}
	fast, fastFar := e.open()
	go func() { _, _ = fast.Write(make([]byte, 4<<20)); fast.Close() }()
	if n, err := io.Copy(io.Discard, fastFar); n != 4<<20 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	// And the deadline did no harm.
	_ = slow.SetWriteDeadline(time.Time{})
	go func() { _, _ = slow.Write(make([]byte, 1<<20-n)); slow.Close() }()
	if n, err := io.Copy(io.Discard, slowFar); n != 1<<20 || err != nil {
		t.Fatalf("%d bytes of the slow one, %v", n, err)
	}
}

func TestDeadlines(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	_ = near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read gave %v", err)
	}
	_ = near.SetReadDeadline(time.Time{})
	reading := make(chan error, 1)
	go func() { _, err := near.Read(make([]byte, 1)); reading <- err }()
	_ = near.SetReadDeadline(time.Unix(1, 0))
	if err := <-reading; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a read under way gave %v", err)
	}
	_ = near.SetDeadline(time.Time{})
	mustWrite(t, far, "x")
	mustRead(t, near, "x")
}

// The kind of a stream is what its opener has said.
func TestKindOfAStream(t *testing.T) {
	e := begin(t)
	for _, kind := range []Kind{Application, Echo, Circuit} {
		near, err := e.opener.Open(kind)
		if err != nil {
			t.Fatal(err)
		}
		if far := <-e.streams; near.Kind() != kind || far.Kind() != kind {
			t.Errorf("kind %d became %d and %d", kind, near.Kind(), far.Kind())
		}
	}
}

// What was flushed is out of the session's hands: the network may be taken from
// it at once.
func TestFlush(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	words := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
	if _, err := near.Write(words); err != nil {
		t.Fatal(err)
	}
	if err := near.Flush(); err != nil {
		t.Fatal(err)
	}
	e.opener.mu.Lock()
	held := e.opener.out.sent < e.opener.out.end()
	e.opener.mu.Unlock()
	if held {
		t.Error("a part of it is still to be written")
	}
	if err := near.Flush(); err != nil {
		t.Errorf("with nothing to wait for: %v", err)
	}
	if err := near.CloseNow(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, words) {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
}

func TestMorePeersStreamsThanAllowed(t *testing.T) {
	e := begin(t)
	for range maxTheirs {
		if _, err := e.opener.Open(Application); err != nil {
			t.Fatal(err)
		}
	}
	more, err := e.opener.Open(Application)
	if err != nil {
		t.Fatal(err)
	}
	if err := more.Verdict(); !errors.Is(err, link.ErrBusy) {
		t.Fatalf("verdict %v", err)
	}
}

// Many streams of many sizes at once, in pieces of any length.
func TestManyStreams(t *testing.T) {
	e := begin(t)
	e.open() // keeps the session
	const streams = 40
	type outcome struct {
		sum [32]byte
		err error
	}
	got := make(chan outcome, streams)
	go func() {
		for range streams {
			s := <-e.streams
			go func() {
				h := sha256.New()
				_, err := io.Copy(h, s)
				got <- outcome{[32]byte(h.Sum(nil)), err}
				s.Close()
			}()
		}
	}()
	want := map[[32]byte]int{}
	for k := range streams {
		rng := rand.New(rand.NewPCG(1, uint64(k)))
		data := make([]byte, rng.IntN(1<<20))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		want[sha256.Sum256(data)]++
		near, err := e.opener.Open(Application)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for len(data) > 0 {
				n := min(1+rng.IntN(100<<10), len(data))
				if _, err := near.Write(data[:n]); err != nil {
					t.Error(err)
					break
				}
				data = data[n:]
			}
			near.Close()
		}()
	}
	for range streams {
		o := <-got
		if o.err != nil || want[o.sum] == 0 {
			t.Fatalf("a stream came out wrong: %v", o.err)
		}
		want[o.sum]--
	}
}

// A Write that was taken has succeeded, also where the peer has answered to it
// and closed before it returns.
func TestWriteThatIsAnsweredByClosing(t *testing.T) {
	e := begin(t)
	keep, _ := e.open()
	defer keep.Close()
	for range 500 {
		near, far := e.open()
		go func() {
			_, _ = far.Read(make([]byte, 1))
			_ = far.CloseNow()
		}()
		if n, err := near.Write([]byte("x")); n != 1 || err != nil {
			t.Fatalf("%d taken, %v", n, err)
		}
		_ = near.CloseNow()
	}
}
