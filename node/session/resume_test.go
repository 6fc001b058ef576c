package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

// checked sends size random bytes each way over a stream, both sums checked, and
// until done is called where size is endless.
func checked(t *testing.T, near, far *Stream, size int) (done func()) {
	t.Helper()
	var all sync.WaitGroup
	over := make(chan struct{})
	isOver := func() bool {
		select {
		case <-over:
			return size == endless
		default:
			return false
		}
	}
	one := func(seed uint64, w, r *Stream) {
		type sum struct {
			size int
			hash [32]byte
		}
		sent := make(chan sum, 1)
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 7))
			h := sha256.New()
			p := make([]byte, 64<<10)
			left := size
			for left > 0 && !isOver() {
				n := min(1+rng.IntN(len(p)), left)
				for i := 0; i+8 <= n; i += 8 {
					binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
				}
				h.Write(p[:n])
				if _, err := w.Write(p[:n]); err != nil {
					t.Errorf("writing with %d to go: %v", left, err)
					break
				}
				left -= n
			}
			if err := w.CloseWrite(); err != nil {
				t.Error(err)
			}
			sent <- sum{size - left, [32]byte(h.Sum(nil))}
		})
		all.Go(func() {
			h := sha256.New()
			n, err := io.Copy(h, r)
			if s := <-sent; err != nil || n != int64(s.size) || !bytes.Equal(h.Sum(nil), s.hash[:]) {
				t.Errorf("%d bytes of %d, %v, or not the same", n, s.size, err)
			}
		})
	}
	one(1, near, far)
	one(2, far, near)
	return func() { close(over); all.Wait() }
}

// endless is more than any test waits for.
const endless = math.MaxInt

func TestNothingIsLostWhenLinksAreCut(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	done := checked(t, near, far, 24<<20)
	for k := range 12 {
		e.opener.mu.Lock()
		before := e.opener.received
		e.opener.mu.Unlock()
		eventually(t, "something flows", func() bool {
			e.opener.mu.Lock()
			defer e.opener.mu.Unlock()
			return e.opener.received > before+2 || e.opener.received > 380
		})
		e.cut()
		if err := e.resume(k); err != nil {
			t.Fatal(err)
		}
	}
	done()
	if s := e.opener.Stats(); s.Moves != 12 {
		t.Errorf("%+v", s)
	}
	if p := e.acceptor.Path(); p != 11 {
		t.Errorf("the path is %v", p)
	}
}

func TestPlannedMovesLoseNothing(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	done := checked(t, near, far, 24<<20)
	for k := range 20 {
		if err := e.resume(k); err != nil {
			t.Fatal(err)
		}
	}
	done()
	eventually(t, "old links are gone", func() bool {
		e.opener.mu.Lock()
		defer e.opener.mu.Unlock()
		return len(e.opener.carriers) == 1
	})
}

// What was written while there was no link at all arrives, the end too.
func TestALostSessionKeepsWhatIsWritten(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	e.cut()
	<-e.need
	mustWrite(t, near, "in the dark")
	near.CloseWrite()
	mustWrite(t, far, "there, too")
	far.Close()
	if _, err := e.opener.Open(Application); !errors.Is(err, ErrEnding) {
		t.Errorf("a lost session opens streams: %v", err)
	}
	if err := e.resume("new"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(near)
	if err != nil || string(got) != "there, too" {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestASessionThatNobodySavesEnds(t *testing.T) {
	e := begin(t, func(o, a *Config) { o.CutLife, a.CutLife = 50*time.Millisecond, 50*time.Millisecond })
	near, far := e.open()
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	e.cut()
	for _, s := range []*Stream{near, far} {
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, ErrGone) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read gave %v", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, ErrGone) {
			t.Errorf("write gave %v", err)
		}
	}
}

func TestASessionWithoutStreamsIsNotSaved(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	mustWrite(t, near, "all")
	near.Close()
	got, err := io.ReadAll(far)
	if err != nil || string(got) != "all" {
		t.Fatal(string(got), err)
	}
	eventually(t, "the end is acknowledged", func() bool {
		e.opener.mu.Lock()
		defer e.opener.mu.Unlock()
		return e.opener.out.empty()
	})
	e.cut() // far is still open, but the peer is done with it
	<-e.acceptor.Over()
	if len(e.need) > 0 {
		t.Error("a link was asked for")
	}
}

func TestAnUnknownSessionIsRefusedAtOnce(t *testing.T) {
	e := begin(t)
	near, _ := e.open()
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	e.cut()
	x, y := tcp(t)
	caller, callee := linked(t, e.a, e.b, x, y, [16]byte{9}, link.Resume)
	go func() {
		if r, err := ReadRequest(callee); err == nil {
			r.Unknown()
		}
	}()
	if err := e.opener.Resume(context.Background(), caller, nil); !errors.Is(err, ErrGone) {
		t.Errorf("resume gave %v", err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, ErrGone) {
		t.Errorf("read gave %v", err)
	}
}

// A path that swallows everything is noticed, and a move to another one works
// while the old one still seems to be there.
func TestASilentPathIsSuspectAndLeft(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	mustWrite(t, near, "x")
	mustRead(t, far, "x")
	x, y := tcp(t)
	hole := &swallower{Conn: y, hole: make(chan struct{})}
	if err := e.resumeOver(x, hole, "hole"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, near, "through")
	mustRead(t, far, "through")
	close(hole.hole)
	e.opener.Check()
	mustWrite(t, near, "into the hole")
	select {
	case <-e.need:
	case <-time.After(ample):
		t.Fatal("nobody noticed")
	}
	// What had come before the hole may be read late, and ease the suspicion for a while.
	eventually(t, "a link is needed", e.opener.Needs)
	if err := e.resume("new"); err != nil {
		t.Fatal(err)
	}
	mustRead(t, far, "into the hole")
	// A stalled machine suspects the new path, too, until it has read what came.
	eventually(t, "the move is noticed", func() bool { return !e.opener.Needs() && e.opener.Path() == "new" })
}

// swallower is a real connection that can begin to lose everything that comes.
type swallower struct {
	net.Conn
	hole chan struct{}
}

func (w *swallower) Read(p []byte) (int, error) {
	for {
		n, err := w.Conn.Read(p)
		select {
		case <-w.hole:
			if err != nil {
				return 0, err
			}
			continue
		default:
			return n, err
		}
	}
}
