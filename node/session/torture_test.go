package session

import (
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

var tortureFlag = flag.Duration("torture", 2*time.Second, "how long links are cut")

// TestTorture cuts links at random moments, at either end and in either way,
// moves to others as planned, fails to, and has streams of random sizes come
// and go both ways all the while. Every byte arrives, once and in order:
//
//	go test -race ./node/session -run TestTorture -torture 10m
func TestTorture(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	e := begin(t)
	keep, far := e.open()
	until := time.Now().Add(*tortureFlag)
	// A slow machine gets longer, for some moves at least.
	goesOn := func() bool { return time.Now().Before(until) || e.opener.Stats().Moves < 5 && !t.Failed() }

	var traffic, trouble sync.WaitGroup
	over := make(chan struct{})
	traffic.Go(func() { checked(t, keep, far, 1<<20)() })
	for k := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, k))
		traffic.Go(func() {
			from, to := e.opener, e.streams
			if k%2 == 1 {
				from, to = e.acceptor, e.back
			}
			for goesOn() {
				near, err := from.Open(Application)
				if err != nil { // there is no link just now
					time.Sleep(time.Millisecond)
					continue
				}
				size := rng.IntN(1 << (6 + rng.IntN(16)))
				done := make(chan struct{})
				go func() { // whichever stream it is, it sends back what comes
					defer close(done)
					s := <-to
					_, _ = io.Copy(s, s)
					_ = s.Close()
				}()
				echoed(t, near, size, rng.Uint64())
				<-done
			}
		})
	}
	trouble.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 99))
		for path := 1; ; path++ {
			select {
			case <-over:
				if err := e.resume("last"); err != nil {
					t.Error(err)
				}
				return
			case <-time.After(time.Duration(rng.IntN(15)) * time.Millisecond):
			}
			switch rng.IntN(5) {
			case 0:
				e.cut()
			case 1:
				cutLink(e.acceptor)
			case 2: // a resumption that dies on the way
				x, y := tcp(t)
				caller, callee := linked(t, e.a, e.b, x, y, [16]byte{9}, link.Resume)
				go func() {
					time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
					_ = y.(*net.TCPConn).SetLinger(0)
					_ = y.Close()
				}()
				go func() {
					if r, err := ReadRequest(callee); err == nil {
						_ = e.acceptor.Answer(r, path)
					}
				}()
				_ = e.opener.Resume(t.Context(), caller, path)
				_ = caller.NetConn().Close()
			}
			if rng.IntN(4) > 0 {
				_ = e.resume(path)
			}
		}
	})
	traffic.Wait()
	close(over)
	trouble.Wait()
	if s, other := e.opener.Stats(), e.acceptor.Stats(); s.Moves < 5 || s.Duds+s.Forged+other.Duds+other.Forged > 0 {
		t.Errorf("%+v, %+v", s, other)
	}
	t.Logf("%+v", e.opener.Stats())
}

// cutLink ends the link in use at this end.
func cutLink(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.carrier != nil {
		_ = s.carrier.link.NetConn().Close()
	}
}

// echoed sends random bytes, and reads them back.
func echoed(t *testing.T, near *Stream, size int, seed uint64) {
	defer near.Close()
	go func() {
		_, err := io.Copy(struct{ io.Writer }{near}, io.LimitReader(rand.NewChaCha8(key(seed)), int64(size)))
		if err == nil {
			err = near.CloseWrite()
		}
		if err != nil {
			t.Errorf("writing: %v", err)
		}
	}()
	want, got := make([]byte, 32<<10), make([]byte, 32<<10)
	source := rand.NewChaCha8(key(seed))
	total := 0
	for {
		n, err := near.Read(got)
		_, _ = source.Read(want[:n])
		if string(want[:n]) != string(got[:n]) {
			t.Errorf("other bytes came back at %d", total)
			return
		}
		total += n
		if err != nil {
			if err != io.EOF || total != size {
				t.Errorf("%d of %d bytes came back, %v", total, size, err)
			}
			return
		}
	}
}

func key(seed uint64) (k [32]byte) {
	for i := range 8 {
		k[i] = byte(seed >> (8 * i))
	}
	return k
}
