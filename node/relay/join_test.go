package relay_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/relay"
)

// meet has guest's allocation connect with host's: both ends.
func meet(t *testing.T, host, guest *relay.Allocation) (near, far *relay.Conn) {
	t.Helper()
	if err := host.Permit(shortly(t), guest.Addr().Addr()); err != nil {
		t.Fatal(err)
	}
	far, err := guest.Connect(shortly(t), host.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	near, err = host.Accept(shortly(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	return near, far
}

// ends checks that the one's end reaches the other.
func ends(t *testing.T, near, far *relay.Conn) {
	t.Helper()
	far.Keep()
	_, _ = io.WriteString(far, "the end")
	go func() { _ = far.Close() }()
	got := make([]byte, 7)
	_ = near.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(near, got); err != nil || string(got) != "the end" {
		t.Errorf("read %q, error %v", got, err)
	}
}

// Two allocations of one server meet within it.
func TestConnect(t *testing.T) {
	s, p := serve(t)
	host, guest := allocate(t, p), allocate(t, p)
	near, far := meet(t, host, guest)
	if near.RemoteAddr().String() != guest.Addr().String() || far.RemoteAddr().String() != host.Addr().String() {
		t.Errorf("%v and %v, told as %v and %v", host.Addr(), guest.Addr(), far.RemoteAddr(), near.RemoteAddr())
	}
	carries(t, near, far)
	ends(t, near, far)
	host.Retire()
	guest.Retire()
	_ = near.Close()
	eventually(t, "both are given back", func() bool { return s.Allocations() == 0 })
	if st := s.Stats(); st.Bytes < 4<<20 {
		t.Errorf("%d bytes were counted, though each end has its own budget", st.Bytes)
	}
}

// A server connects its own endpoints alone, and only where that is permitted.
func TestConnectRefuses(t *testing.T) {
	s, p := serve(t)
	_, other := serve(t)
	a := allocate(t, p)
	for name, to := range map[string]netip.AddrPort{
		"itself":         a.Addr(),
		"the TURN port":  s.Addr(),
		"another server": allocate(t, other).Addr(),
		"port 1":         netip.AddrPortFrom(loopback, 1),
		"elsewhere":      netip.MustParseAddrPort("203.0.113.1:80"),
		"a lent one":     allocate(t, lend(t, allocate(t, p), "guest")).Addr(),
	} {
		c, err := a.Connect(shortly(t), to)
		var e *relay.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "447") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	host := allocate(t, p) // has permitted nobody
	if c, err := a.Connect(shortly(t), host.Addr()); err == nil {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without permission: read %d bytes, error %v", n, err)
		}
		_ = c.Close()
	}
	meet(t, host, allocate(t, p)) // it is none the worse for it
}

// A relay that does not lead into private networks does not by Connect either.
func TestConnectPrivate(t *testing.T) {
	_, p := serve(t, func(c *relay.ServerConfig) { c.AllowPrivate = false })
	if c, err := allocate(t, p).Connect(shortly(t), allocate(t, p).Addr()); err == nil {
		t.Errorf("connected with %v", c.RemoteAddr())
	}
}

func lend(t *testing.T, a *relay.Allocation, guest string) relay.Place {
	t.Helper()
	p, ok := a.Lend([]byte(guest))
	if !ok {
		t.Fatal("nothing is lent")
	}
	return p
}

// Lent credentials lead to the endpoints of those who have the secret, and
// nowhere else; they expire, and have a quota of their own.
func TestLend(t *testing.T) {
	s, p := serve(t)
	host := allocate(t, p)
	l := lend(t, host, "guest")
	if l.Secret != "" || l.Host != s.Addr().String() || strings.Contains(l.User, "guest") || l.User == lend(t, host, "another").User {
		t.Errorf("lent %+v", l)
	}
	guest := allocate(t, l)
	near, far := meet(t, host, guest)
	carries(t, near, far)
	if err := guest.Permit(shortly(t), loopback); err != nil {
		t.Fatal(err)
	}
	if c, err := host.Connect(shortly(t), guest.Addr()); err == nil {
		t.Errorf("what was lent takes connections, as %v", c.RemoteAddr())
	}
	for range 3 {
		allocate(t, l)
	}
	if _, err := relay.Allocate(shortly(t), l, relay.Config{}); err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("a fifth allocation: %v", err)
	}
	if _, ok := allocate(t, lend(t, host, "another")).Lend([]byte("x")); ok {
		t.Error("what is lent was lent again")
	}
}

func TestLentExpires(t *testing.T) {
	later := time.Now().Add(11 * time.Minute)
	_, p := serve(t, func(c *relay.ServerConfig) { c.Now = func() time.Time { return later } })
	l := lend(t, allocate(t, p), "guest")
	if _, err := relay.Allocate(shortly(t), l, relay.Config{}); err == nil || !strings.Contains(err.Error(), "refused the credentials") {
		t.Errorf("allocated, error %v", err)
	}
}
