package session

import (
	"io"
	"testing"

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
