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
		ended <- Splice(ctx, end{one}, end{two}, l, new(Meter))
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
		var passed Meter
		if err := Splice(t.Context(), one, two, Limits{Rate: rate}.WithDefaults(), &passed); err != nil {
			t.Error(err)
		}
		if there, back := passed.Bytes(); there != size || back != size {
			t.Errorf("%d and %d bytes passed", there, back)
		}
		// 32 KiB may go at once, and the rest at the rate.
		want := time.Duration(float64(2*size-chunk) / rate * float64(time.Second))
		if took := time.Since(begun); took < want*99/100 || took > want*101/100 {
			t.Errorf("%v for what should take %v", took, want)
		}
	})
}

// A circuit lives as long as something passes now and then, in either direction,
// and what has passed is counted meanwhile. It ends when nothing comes any more,
// and when what comes is not taken.
func TestSpliceIdle(t *testing.T) {
	const idle = time.Minute
	begin := func() (near, far pipe, m *Meter, done <-chan error) {
		near, one := pipes()
		two, far := pipes()
		ended := make(chan error, 1)
		m = new(Meter)
		go func() {
			ended <- Splice(context.Background(), one, two, Limits{Idle: idle}.WithDefaults(), m)
		}()
		return near, far, m, ended
	}
	t.Run("nothing comes any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far, m, done := begin()
			for n := range 20 {
				from, to := near, far
				if n%2 == 1 {
					from, to = far, near
				}
				time.Sleep(idle - time.Second)
				go func() { _, _ = from.Write([]byte("there")) }()
				if _, err := io.ReadFull(to, make([]byte, 5)); err != nil {
					t.Fatalf("after %d pieces: %v", n, err)
				}
				synctest.Wait()
			}
			if there, back := m.Bytes(); there != 50 || back != 50 {
				t.Errorf("%d and %d bytes are counted", there, back)
			}
			last := time.Now()
			if err := <-done; !errors.Is(err, ErrIdle) || time.Since(last) != idle {
				t.Errorf("it ended with %v, after %v", err, time.Since(last))
			}
		})
	})
	t.Run("nothing is taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, _, m, done := begin()
			begun := time.Now()
			if _, err := near.Write(make([]byte, 1<<20)); err == nil {
				t.Error("all of it is taken")
			}
			if err := <-done; !errors.Is(err, ErrIdle) || time.Since(begun) != idle {
				t.Errorf("it ended with %v, after %v", err, time.Since(begun))
			}
			if there, back := m.Bytes(); there+back != 0 {
				t.Errorf("%d and %d bytes are counted", there, back)
			}
		})
	})
	t.Run("one end has said all, and the other says nothing", func(t *testing.T) {
		near, far, done := circuitOf(t, context.Background(), Limits{Idle: 50 * time.Millisecond}.WithDefaults())
		_ = near.CloseWrite()
		if err := <-done; !errors.Is(err, ErrIdle) {
			t.Errorf("it ended with %v", err)
		}
		_ = far
	})
}

// At a low rate what is passed on at once is small, so that the wait for its turn
// is no silence.
func TestSpliceSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, one := pipes()
		two, far := pipes()
		done := make(chan error, 1)
		go func() {
			done <- Splice(context.Background(), one, two, Limits{Rate: 1 << 10, Idle: 10 * time.Second}.WithDefaults(), new(Meter))
		}()
		go func() { _, _ = near.Write(make([]byte, 1<<20)); _ = near.Close() }()
		if n, err := io.Copy(io.Discard, far); n != 1<<20 || err != nil {
			t.Errorf("%d bytes came, %v", n, err)
		}
		_ = far.Close()
		<-done
	})
}
