package circuit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// end makes a TCP connection one of a circuit.
type end struct{ *net.TCPConn }

func (e end) Reset() error { _ = e.SetLinger(0); return e.Close() }

// circuitOf is a circuit and its two outer ends.
func circuitOf(t *testing.T, ctx context.Context, l Limits) (near, far *net.TCPConn, done <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pair := func() (*net.TCPConn, *net.TCPConn) {
		a, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close(); b.Close() })
		_ = a.SetDeadline(time.Now().Add(time.Minute))
		return a.(*net.TCPConn), b.(*net.TCPConn)
	}
	near, one := pair()
	far, two := pair()
	ended := make(chan error, 1)
	go func() {
		_, err := Splice(ctx, end{one}, end{two}, l)
		ended <- err
	}()
	return near, far, ended
}

func TestSpliceBothWaysAndHalfClosed(t *testing.T) {
	near, far, done := circuitOf(t, context.Background(), Limits{}.WithDefaults())
	words := bytes.Repeat([]byte("there "), 50_000)
	go func() { _, _ = near.Write(words); _ = near.CloseWrite() }()
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, words) {
		t.Fatalf("%d bytes came, %v", len(got), err)
	}
	go func() { _, _ = far.Write(words); _ = far.CloseWrite() }()
	if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, words) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whatever ends a circuit before its ends have, both know that it is cut.
func TestSpliceIsCut(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	for name, c := range map[string]struct {
		limits Limits
		do     func(near *net.TCPConn)
		want   error
	}{
		"at its age":         {Limits{Age: 50 * time.Millisecond}, func(*net.TCPConn) {}, ErrAge},
		"at its share":       {Limits{Bytes: 1000}, func(near *net.TCPConn) { _, _ = near.Write(make([]byte, 1001)) }, ErrBytes},
		"waiting beyond age": {Limits{Rate: 1, Age: 100 * time.Millisecond}, func(near *net.TCPConn) { _, _ = near.Write(make([]byte, 100<<10)) }, ErrAge},
		"by a reset":         {Limits{}, func(near *net.TCPConn) { _ = near.SetLinger(0); _ = near.Close() }, syscall.ECONNRESET},
		"by its owner":       {Limits{}, func(*net.TCPConn) { cancel() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			within := context.Background()
			if c.want == context.Canceled {
				within = ctx
			}
			near, far, done := circuitOf(t, within, c.limits.WithDefaults())
			go c.do(near)
			if err := <-done; !errors.Is(err, c.want) {
				t.Errorf("it ended with %v, want %v", err, c.want)
			}
			if _, err := io.ReadAll(far); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other end read %v", err)
			}
		})
	}
}

// pipe is an end that no kernel is in, so that time may be a bubble's.
type pipe struct {
	*io.PipeReader
	*io.PipeWriter
}

// pipes gives the two ends of a connection.
func pipes() (near, far pipe) {
	out, in := io.Pipe()
	back, forth := io.Pipe()
	return pipe{out, forth}, pipe{back, in}
}

func (p pipe) CloseWrite() error { return p.PipeWriter.Close() }
func (p pipe) Close() error      { return errors.Join(p.PipeReader.Close(), p.PipeWriter.Close()) }
func (p pipe) Reset() error      { return p.Close() }

// The rate is that of both ways together.
func TestSpliceRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, size = 256 << 10, 64 << 10
		near, one := pipes()
		two, far := pipes()
		begun := time.Now()
		for _, c := range []pipe{near, far} {
			go func() { _, _ = c.Write(make([]byte, size)); _ = c.CloseWrite() }()
			go func() {
				if n, err := io.Copy(io.Discard, c); n != size || err != nil {
					t.Errorf("%d bytes came, %v", n, err)
				}
			}()
		}
		if passed, err := Splice(t.Context(), one, two, Limits{Rate: rate}.WithDefaults()); passed != 2*size || err != nil {
			t.Errorf("%d bytes passed, %v", passed, err)
		}
		// 32 KiB may go at once, and the rest at the rate.
		want := time.Duration(float64(2*size-chunk) / rate * float64(time.Second))
		if took := time.Since(begun); took < want*99/100 || took > want*101/100 {
			t.Errorf("%v for what should take %v", took, want)
		}
	})
}
