package punch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/nat/machinetest"
)

// patience is what a loaded machine is given.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// freePort gives a loopback endpoint at which nobody listens.
func freePort(t *testing.T) netip.AddrPort { return machinetest.ClosedPort(t, "127.0.0.1") }

func within(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx, cancel
}

// greet sends a word and wants it back: the proof of these tests.
func greet(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("sally")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err
}

// Two ends that dial each other from 5 ms apart: the later one's SYN finds the
// first one's listener or its pending SYN, and both ends are told.
func TestOpenBothDial(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { testBothDial(t, freePort(t), freePort(t)) })
	t.Run("IPv6", func(t *testing.T) {
		if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
			t.Skipf("this machine has no IPv6: %v", err)
		} else {
			l.Close()
		}
		testBothDial(t, machinetest.ClosedPort(t, "::1"), machinetest.ClosedPort(t, "::1"))
	})
}

func testBothDial(t *testing.T, a, b netip.AddrPort) {
	ctx, cancel := within(t, 2*patience)
	var ends sync.WaitGroup
	var mu sync.Mutex
	proven := map[netip.AddrPort]bool{}
	run := func(local, remote netip.AddrPort, wait time.Duration) {
		err := Open(ctx, Plan{Tuples: []Tuple{{local, remote}}, Wait: wait, Listen: []netip.AddrPort{local}}, func(_ context.Context, c Connection) error {
			defer c.Close()
			if err := greet(c); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if proven[local] = true; len(proven) == 2 {
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Errorf("%v: %v", local, err)
		}
	}
	ends.Go(func() { run(a, b, 0) })
	ends.Go(func() { run(b, a, 5*time.Millisecond) })
	ends.Wait()
}

func TestOpenListens(t *testing.T) {
	local := freePort(t)
	ctx, cancel := within(t, 2*patience)
	opened := make(chan error, 1)
	go func() {
		opened <- Open(ctx, Plan{Listen: []netip.AddrPort{local}}, func(_ context.Context, c Connection) error {
			defer c.Close()
			if !c.Accepted {
				t.Error("nobody was to dial")
			}
			cancel()
			return nil
		})
	}()
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", local.String())
		if err == nil {
			c.Close()
			break
		}
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

// A connection that cannot be proven is no success, and its packets count.
func TestOpenGoesOnUntilProven(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	ctx, _ := within(t, 2*patience)
	tries := 0
	err = Open(ctx, Plan{Tuples: []Tuple{{freePort(t), l.Addr().(*net.TCPAddr).AddrPort()}}, Packets: 20}, func(_ context.Context, c Connection) error {
		tries++
		discard(c.Conn)
		return errors.New("not the peer")
	})
	var failed *FailedError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	if want := 20 / (1 + acceptedCost + unprovenCost); tries != want {
		t.Errorf("%d connections for 20 packets, want %d", tries, want)
	}
}

// Whatever the answers, no more SYNs leave than are allowed.
func TestOpenKeepsToItsPackets(t *testing.T) {
	nobody := freePort(t)
	for _, c := range []struct {
		name    string
		packets int
		budget  int // of Allow
		want    int
	}{{"its own", 7, 1000, 7 - acceptedCost}, {"a shared budget", 50, 4, 4}} {
		t.Run(c.name, func(t *testing.T) {
			ctx, _ := within(t, 2*patience)
			asked := 0
			err := Open(ctx, Plan{
				Tuples: []Tuple{{freePort(t), nobody}}, Packets: c.packets,
				Allow: func(remote netip.AddrPort, n int) bool {
					if remote != nobody {
						t.Errorf("asked about %v", remote)
					}
					if asked+n > c.budget {
						return false
					}
					asked += n
					return true
				},
			}, func(context.Context, Connection) error { return errors.New("unreachable") })
			var failed *FailedError
			if !errors.As(err, &failed) || failed.Refused != c.want {
				t.Errorf("got %v, want %d refusals", err, c.want)
			}
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := within(t, 2*patience)
	time.AfterFunc(20*time.Millisecond, cancel)
	begun := time.Now()
	// 127.0.0.1 answers at once, so this end is always busy when ctx ends.
	if err := Open(ctx, Plan{Tuples: []Tuple{{freePort(t), freePort(t)}}}, nil); err == nil {
		t.Fatal("nothing can have been proven")
	}
	if took := time.Since(begun); took > patience {
		t.Fatalf("ended %v after its context", took)
	}
}
