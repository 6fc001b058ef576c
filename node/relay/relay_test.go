package relay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/node/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret/with:all+of it"

var loopback = netip.MustParseAddr("127.0.0.1")

func shortly(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// serve starts a server on loopback, for loopback.
func serve(t testing.TB, change ...func(*relay.ServerConfig)) (*relay.Server, relay.Place) {
	t.Helper()
	cfg := relay.ServerConfig{Listen: "127.0.0.1:0", Secret: secret, AllowPrivate: true}
	for _, f := range change {
		f(&cfg)
	}
	s, err := relay.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, relay.Place{Host: s.Addr().String(), Secret: secret}
}

func allocate(t testing.TB, p relay.Place) *relay.Allocation {
	t.Helper()
	a, err := relay.Allocate(shortly(t), p, relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// through makes a connection through the relay: both its ends.
func through(t testing.TB, p relay.Place) (*relay.Allocation, *relay.Conn, *net.TCPConn) {
	t.Helper()
	a := allocate(t, p)
	near, far, err := connected(t, a)
	if err != nil {
		t.Fatal(err)
	}
	return a, near, far
}

// connected makes a connection to an allocation.
func connected(t testing.TB, a *relay.Allocation) (*relay.Conn, *net.TCPConn, error) {
	t.Helper()
	if err := a.Permit(shortly(t), loopback); err != nil {
		return nil, nil, err
	}
	far, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = far.Close() })
	near, err := a.Accept(shortly(t))
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = near.Close() })
	if near.RemoteAddr().String() != far.LocalAddr().String() {
		t.Errorf("the peer is told as %v, and is %v", near.RemoteAddr(), far.LocalAddr())
	}
	return near, far.(*net.TCPConn), nil
}

// carriesInTurn sends a megabyte each way, one after the other: coturn stalls
// when both ways are full (TestCoturnStalls).
func carriesInTurn(t testing.TB, a, b net.Conn) {
	t.Helper()
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		wrote := make(chan error, 1)
		go func() { _, err := pair[0].Write(data); wrote <- err }()
		got := make([]byte, len(data))
		_ = pair[1].SetReadDeadline(time.Now().Add(time.Minute))
		n, err := io.ReadFull(pair[1], got)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came out, error %v", n, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
}

// carries sends a megabyte each way at once.
func carries(t testing.TB, a, b net.Conn) {
	t.Helper()
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	errs := make(chan error, 4)
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() { _, err := pair[0].Write(data); errs <- err }()
		go func() {
			got := make([]byte, len(data))
			_, err := io.ReadFull(pair[1], got)
			if err == nil && !bytes.Equal(got, data) {
				err = errors.New("other bytes came out than went in")
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

func TestThroughOurServer(t *testing.T) {
	s, p := serve(t)
	a, near, far := through(t, p)
	carries(t, near, far)
	near.Keep()
	a.Retire()
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "the allocation is given back", func() bool { return s.Allocations() == 0 })
}

// What was written before Close arrives, all of it, though the allocation ends.
func TestCloseFlushes(t *testing.T) {
	_, p := serve(t)
	_, near, far := through(t, p)
	near.Keep()
	data := make([]byte, 3<<20)
	_, _ = rand.Read(data)
	go func() {
		_, _ = near.Write(data)
		_ = near.Close()
	}()
	got, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came out, error %v", len(got), len(data), err)
	}
}

// The peer's end, in order or by a reset, reaches us.
func TestPeerEnds(t *testing.T) {
	for name, linger := range map[string]int{"close": -1, "reset": 0} {
		t.Run(name, func(t *testing.T) {
			_, p := serve(t)
			_, near, far := through(t, p)
			carries(t, near, far)
			_ = far.SetLinger(linger)
			_ = far.Close()
			_ = near.SetReadDeadline(time.Now().Add(time.Minute))
			var timeout net.Error
			if _, err := near.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("read gave %v after the peer's %s", err, name)
			}
		})
	}
}

// A stranger at the peer's address is accepted like the peer, and the peer after it.
func TestSeveralAreAccepted(t *testing.T) {
	_, p := serve(t)
	a, first, _ := through(t, p)
	second, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	near, err := a.Accept(shortly(t))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	_ = first.Close()
	carries(t, near, second)
}

// A peer that was not permitted is turned away by the relay.
func TestNotPermitted(t *testing.T) {
	_, p := serve(t)
	a := allocate(t, p)
	far, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	_ = far.SetReadDeadline(time.Now().Add(time.Minute))
	var timeout net.Error
	if _, err := far.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("read gave %v", err)
	}
}

// Private networks are refused unless the operator says otherwise.
func TestPrivateRangesAreRefused(t *testing.T) {
	_, p := serve(t, func(c *relay.ServerConfig) { c.AllowPrivate = false })
	for _, peer := range []string{"127.0.0.1", "10.1.2.3", "192.168.1.1", "172.20.0.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0"} {
		a := allocate(t, p)
		err := a.Permit(shortly(t), netip.MustParseAddr(peer))
		var e *relay.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "does not relay there") || !strings.Contains(e.Hint(), "--turn-allow-private") {
			t.Errorf("%s: %v", peer, err)
		}
		_ = a.Close()
	}
	if err := allocate(t, p).Permit(shortly(t), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("203.0.113.7")); err != nil {
		t.Errorf("a public address beside a private one: %v", err)
	}
}

func TestWrongCredentials(t *testing.T) {
	s, p := serve(t)
	expired, password := relay.Credentials(secret, "late", time.Now().Add(-time.Minute))
	for name, place := range map[string]relay.Place{
		"secret":  {Host: p.Host, Secret: "another"},
		"user":    {Host: p.Host, User: "nobody", Password: "x"},
		"expired": {Host: p.Host, User: expired, Password: password},
	} {
		_, err := relay.Allocate(shortly(t), place, relay.Config{})
		var e *relay.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "refused the credentials") || e.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "another") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	if s.Allocations() != 0 {
		t.Error("there is an allocation all the same")
	}
	user, password := relay.Credentials(secret, "alice", time.Now().Add(time.Minute))
	allocate(t, relay.Place{Host: p.Host, User: user, Password: password})
}

// Quotas count, and what is given back can be had again.
func TestQuotas(t *testing.T) {
	for name, change := range map[string]func(*relay.ServerConfig){
		"user": func(c *relay.ServerConfig) { c.PerUser = 1 },
		"IP":   func(c *relay.ServerConfig) { c.PerIP = 1 },
		"all":  func(c *relay.ServerConfig) { c.Total = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			_, p := serve(t, change)
			first := allocate(t, p)
			_, err := relay.Allocate(shortly(t), p, relay.Config{})
			if err == nil || !strings.Contains(err.Error(), "quota") {
				t.Fatalf("a second allocation: %v", err)
			}
			_ = first.Close()
			eventually(t, "there is one again", func() bool {
				a, err := relay.Allocate(shortly(t), p, relay.Config{})
				if err == nil {
					_ = a.Close()
				}
				return err == nil
			})
		})
	}
}

func TestBytesAreUsedUp(t *testing.T) {
	s, p := serve(t, func(c *relay.ServerConfig) { c.Bytes = 1 << 20 })
	_, near, far := through(t, p)
	go func() { _, _ = io.Copy(far, bytes.NewReader(make([]byte, 4<<20))) }()
	n, _ := io.Copy(io.Discard, near)
	if n > 1<<20 || n < 1<<19 {
		t.Errorf("%d bytes passed", n)
	}
	eventually(t, "the allocation ends", func() bool { return s.Allocations() == 0 })
}

func TestRate(t *testing.T) {
	_, p := serve(t, func(c *relay.ServerConfig) { c.Rate = 256 << 10 })
	_, near, far := through(t, p)
	begun := time.Now()
	go func() { _, _ = far.Write(make([]byte, 512<<10)) }()
	if _, err := io.ReadFull(near, make([]byte, 384<<10)); err != nil {
		t.Fatal(err)
	}
	// 384 KiB, of which 64 KiB at once and the last buffer in advance.
	if took := time.Since(begun); took < 800*time.Millisecond {
		t.Errorf("took only %v", took)
	}
}

func TestMaxAge(t *testing.T) {
	var near *relay.Conn
	for age := 300 * time.Millisecond; near == nil; age *= 2 { // a busy machine may not connect within the first
		_, p := serve(t, func(c *relay.ServerConfig) { c.MaxAge = age })
		a, err := relay.Allocate(shortly(t), p, relay.Config{})
		if err == nil {
			defer a.Close()
			near, _, err = connected(t, a)
		}
		if err != nil && age > 20*time.Second {
			t.Fatal(err)
		}
	}
	_ = near.SetReadDeadline(time.Now().Add(time.Minute))
	var timeout net.Error
	if _, err := near.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("read gave %v", err)
	}
}

// A server that ends ends all who wait for it.
func TestServerEnds(t *testing.T) {
	s, p := serve(t)
	a, near, far := through(t, p)
	waiting := make(chan error, 1)
	go func() { _, err := a.Accept(context.Background()); waiting <- err }()
	_ = s.Close()
	for _, c := range []net.Conn{near, far} {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("read gave %v", err)
		}
	}
	select {
	case err := <-waiting:
		if err == nil {
			t.Error("accepted something")
		}
	case <-time.After(time.Minute):
		t.Fatal("Accept hangs")
	}
}

func TestAcceptEndsWithContextAndClose(t *testing.T) {
	_, p := serve(t)
	a := allocate(t, p)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accept gave %v", err)
	}
	b := allocate(t, p)
	waiting := make(chan error, 1)
	go func() { _, err := b.Accept(context.Background()); waiting <- err }()
	_ = b.Close()
	select {
	case err := <-waiting:
		if err == nil {
			t.Error("accepted something")
		}
	case <-time.After(time.Minute):
		t.Fatal("Accept hangs")
	}
}

// What is no relay is found out, and not waited for.
func TestNoRelayThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = c.Close()
		}
	}()
	ctx := shortly(t)
	if _, err := relay.Allocate(ctx, relay.Place{Host: l.Addr().String(), Secret: "x"}, relay.Config{}); err == nil || ctx.Err() != nil {
		t.Errorf("%v, and of the wait: %v", err, ctx.Err())
	}
}

// A message whose length overflows pion/turn's framing, and other bad ones, end
// the connection.
func TestBadMessagesEndTheConnection(t *testing.T) {
	s, p := serve(t)
	for name, message := range map[string]string{
		"overflow": "\x00\x01\xff\xec\x21\x12\xa4\x42............",
		"odd":      "\x00\x01\x00\x03\x21\x12\xa4\x42...............",
		"no STUN":  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"data":     "\x40\x00\x00\x04........................",
	} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, message)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: read gave %v", name, err)
		}
		_ = c.Close()
	}
	allocate(t, p) // the server is none the worse for it
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
