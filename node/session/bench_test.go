package session

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

// BenchmarkThroughput compares one stream of a session with the TLS link alone
// and with plain TCP, over loopback.
func BenchmarkThroughput(b *testing.B) {
	const piece = 256 << 10
	transfer := func(b *testing.B, w io.WriteCloser, r io.Reader) {
		b.SetBytes(piece)
		done := make(chan int64)
		go func() {
			buf := make([]byte, 64<<10)
			var total int64
			for {
				n, err := r.Read(buf)
				total += int64(n)
				if err != nil {
					done <- total
					return
				}
			}
		}()
		p := make([]byte, piece)
		for b.Loop() {
			if _, err := w.Write(p); err != nil {
				b.Fatal(err)
			}
		}
		n := b.N
		_ = w.Close()
		if got := <-done; got != int64(n)*piece {
			b.Fatalf("%d bytes arrived of %d", got, int64(n)*piece)
		}
	}
	b.Run("tcp", func(b *testing.B) {
		x, y := tcp(b)
		transfer(b, x, y)
	})
	b.Run("tls", func(b *testing.B) {
		x, y := tcp(b)
		caller, callee := linked(b, identity(b), identity(b), x, y, [16]byte{1}, link.Session)
		_ = caller.Verdict()
		transfer(b, caller, callee)
	})
	b.Run("session", func(b *testing.B) {
		e := begin(b)
		near, far := e.open()
		transfer(b, near, far)
	})
}

// BenchmarkIdle measures what an idle session with one stream takes at each
// end, in heap, stacks and goroutines; and what the TLS link alone takes, with
// the one goroutine that an application needs to read it.
func BenchmarkIdle(b *testing.B) {
	const pairs = 100
	measure := func(b *testing.B, begin func() (reading [2]io.Reader)) {
		var before, after runtime.MemStats
		for b.Loop() {
			b.StopTimer()
			settled(&before)
			routines := runtime.NumGoroutine()
			for range pairs {
				for _, r := range begin() {
					if r != nil {
						go func() { _, _ = r.Read(make([]byte, 1)) }()
					}
				}
			}
			settled(&after)
			per := func(n uint64, m uint64) float64 { return float64(int64(n-m)) / (2 * pairs) }
			b.ReportMetric(per(after.HeapAlloc, before.HeapAlloc), "heap-B/end")
			b.ReportMetric(per(after.StackInuse, before.StackInuse), "stack-B/end")
			b.ReportMetric(float64(runtime.NumGoroutine()-routines)/(2*pairs), "goroutines/end")
			b.StartTimer()
		}
		b.ReportMetric(0, "ns/op")
	}
	one, two := identity(b), identity(b)
	b.Run("tls", func(b *testing.B) {
		measure(b, func() [2]io.Reader {
			x, y := tcp(b)
			caller, callee := linked(b, one, two, x, y, [16]byte{1}, link.Session)
			b.Cleanup(func() { caller.NetConn().Close(); callee.NetConn().Close() })
			_ = caller.Verdict()
			return [2]io.Reader{caller, callee}
		})
	})
	b.Run("session", func(b *testing.B) {
		measure(b, func() [2]io.Reader {
			x, y := tcp(b)
			caller, callee := linked(b, one, two, x, y, [16]byte{1}, link.Session)
			came := make(chan *Stream, 1)
			opener, err := New(caller, Config{Opener: true, Attempt: [16]byte{1}})
			if err != nil {
				b.Fatal(err)
			}
			acceptor, err := New(callee, Config{Attempt: [16]byte{1}, Accept: func(s *Stream) error { came <- s; return nil }})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { opener.Close(); acceptor.Close() })
			near, err := opener.Open(Application)
			if err != nil {
				b.Fatal(err)
			}
			_ = near.Verdict()
			<-came
			return [2]io.Reader{} // it reads by itself
		})
	})
}

// settled reads the memory's counts when nothing moves any more.
func settled(m *runtime.MemStats) {
	time.Sleep(300 * time.Millisecond) // late ACKs, and the first PING
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(m)
}
