package probe

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// exchange sends b to a server and gives the answer and whence it came.
func exchange(t *testing.T, to netip.AddrPort, b []byte) (message, netip.AddrPort, []byte) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(labTime))
	in := make([]byte, 2000)
	n, from, err := c.ReadFromUDPAddrPort(in)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(in[:n])
	if err != nil {
		t.Fatal(err)
	}
	return m, unmapped(from), in[:n]
}

func TestServerChangesItsAddress(t *testing.T) {
	s := startServer(t, ServerConfig{})
	at := s.Addrs()
	if len(at) != 4 || at[0].Port() != at[2].Port() || at[1].Port() != at[3].Port() || at[0].Addr() == at[2].Addr() {
		t.Fatalf("listens at %v", at)
	}
	for asked := range at {
		for change, want := range map[uint32]int{0: asked, changePort: asked ^ 1, changeIP: asked ^ 2, changeIP | changePort: asked ^ 3} {
			id, req := request(change)
			m, from, _ := exchange(t, at[asked], req)
			if m.answers(id) != nil || from != at[want] || m.other != at[asked^3] {
				t.Errorf("asked %v for %d: answer from %v, other %v, %v", at[asked], change, from, m.other, m.answers(id))
			}
		}
	}
}

func TestServerWithOneIPIsHonest(t *testing.T) {
	s := startServer(t, ServerConfig{Primary: netip.MustParseAddrPort("127.0.0.3:0"), Alternate: netip.MustParseAddrPort("127.0.0.3:0")})
	at := s.Addrs()
	_, req := request(0)
	if m, _, _ := exchange(t, at[0], req); m.other.IsValid() || !m.mapped.IsValid() {
		t.Errorf("other address %v of %v", m.other, at)
	}
	_, req = request(changeIP | changePort)
	if m, _, _ := exchange(t, at[0], req); m.code != int(stun.CodeUnknownAttribute) {
		t.Errorf("change of IP: code %d", m.code)
	}
	_, req = request(changePort)
	if _, from, _ := exchange(t, at[0], req); from != at[1] {
		t.Errorf("change of port: from %v", from)
	}
}

func TestServerRefusesWhatItDoesNotKnow(t *testing.T) {
	s := startServer(t, ServerConfig{OnePort: true})
	m, _, out := exchange(t, s.Addr(), raw(stun.BindingRequest, attr(0x7777, 1, 2, 3, 4)))
	if m.code != 420 {
		t.Errorf("code %d", m.code)
	}
	i := len(out) - 8 // type, length, one attribute type, padding (RFC 8489 §14.13)
	if binary.BigEndian.Uint32(out[i:]) != 0x000a0002 || binary.BigEndian.Uint16(out[i+4:]) != 0x7777 {
		t.Errorf("%x", out)
	}
	if m, _, _ = exchange(t, s.Addr(), raw(stun.NewType(stun.MethodAllocate, stun.ClassRequest))); m.code != 400 {
		t.Errorf("code %d for a TURN request", m.code)
	}
	if from, out := s.reply(s.spots[0], message{class: stun.ClassSuccessResponse, method: stun.MethodBinding}, s.Addr(), false); from != nil || out != nil {
		t.Error("a response is answered: two servers can be set on one another")
	}
}

func TestServerSpeaksRFC3489(t *testing.T) {
	s := startServer(t, ServerConfig{})
	req := raw(stun.BindingRequest)
	copy(req[4:], "sixteen bytes id")
	m, _, out := exchange(t, s.Addr(), req)
	if string(out[4:20]) != "sixteen bytes id" || !m.old {
		t.Errorf("%q", out[4:20])
	}
	if !m.mapped.IsValid() || m.other != s.Addrs()[3] || len(out) != headerSize+3*12 {
		t.Errorf("mapped %v, other %v, %d bytes", m.mapped, m.other, len(out))
	}
}

func TestServerDoesNotAmplify(t *testing.T) {
	s := startServer(t, ServerConfig{})
	_, req := request(0)
	_, _, out := exchange(t, s.Addr(), req)
	const headers = 28 // of IPv4 and UDP
	if float64(len(out)+headers) > 2*float64(len(req)+headers) {
		t.Errorf("%d bytes for %d", len(out), len(req))
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10, 1000)
	now := time.Unix(1, 0)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	count := func(ip netip.Addr, change bool, n int) (ok int) {
		for range n {
			if l.allow(ip, change, now) {
				ok++
			}
		}
		return ok
	}
	if n := count(a, false, 100); n != 40 {
		t.Errorf("a burst of %d, want 40", n)
	}
	if n := count(b, true, 100); n != 13 {
		t.Errorf("a burst of %d changes, want 13", n)
	}
	now = now.Add(time.Second)
	if n := count(a, false, 100); n != 10 {
		t.Errorf("%d after a second, want 10", n)
	}
	if l.allow(netip.MustParseAddr("2001:db8::1"), false, now); source(netip.MustParseAddr("2001:db8::1")) != source(netip.MustParseAddr("2001:db8::2:3")) {
		t.Error("one IPv6 /64 counts as two")
	}
	for i := range 3 * mostSources {
		l.allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), false, now)
	}
	if n := len(l.now) + len(l.old); n > 2*mostSources {
		t.Errorf("%d sources remembered", n)
	}
	total := newLimiter(1000, 10)
	n := 0
	for i := range 100 {
		if total.allow(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), false, now) {
			n++
		}
	}
	if n != 40 {
		t.Errorf("%d in all, want 40", n)
	}
}

// dialServer opens a TCP connection to s.
func dialServer(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(labTime))
	return c
}

func TestServerOverTCP(t *testing.T) {
	s := startServer(t, ServerConfig{ConnsPerIP: 2, Requests: 3})
	c := dialServer(t, s)
	for range 3 {
		id, req := request(0)
		if _, err := c.Write(req); err != nil {
			t.Fatal(err)
		}
		m, err := readMessage(c)
		if err != nil || m.answers(id) != nil || m.mapped.String() != c.LocalAddr().String() || m.other != s.Addrs()[3] || m.rewritten {
			t.Fatalf("%v, %+v", err, m)
		}
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after its three requests: %v", err)
	}
	a, b := dialServer(t, s), dialServer(t, s)
	for _, c := range []net.Conn{a, b} {
		_, req := request(changePort)
		_, _ = c.Write(req)
		if m, err := readMessage(c); err != nil || m.code != 420 {
			t.Errorf("a change of port over TCP: %v, %+v", err, m)
		}
	}
	third := dialServer(t, s)
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a third connection of one source: %v", err)
	}
	_, _ = a.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if _, err := a.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("no STUN, and not closed")
	}
}

func TestServerCloseEndsConnections(t *testing.T) {
	s := startServer(t, ServerConfig{})
	c := dialServer(t, s)
	_, req := request(0)
	_, _ = c.Write(req)
	if _, err := readMessage(c); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection lives on")
	}
}

func TestServerConfigIsChecked(t *testing.T) {
	at := netip.MustParseAddrPort
	for name, c := range map[string]ServerConfig{
		"no address":      {},
		"nothing":         {Primary: at("127.0.0.1:0"), NoUDP: true, NoTCP: true},
		"one port":        {Primary: at("127.0.0.1:3478"), Alternate: at("127.0.0.2:3478")},
		"two families":    {Primary: at("127.0.0.1:0"), Alternate: at("[::1]:0")},
		"two and one":     {Primary: at("127.0.0.1:0"), Alternate: at("127.0.0.2:0"), OnePort: true},
		"not our address": {Primary: at("192.0.2.1:0")},
	} {
		if s, err := NewServer(c); err == nil {
			_ = s.Close()
			t.Errorf("%s is taken", name)
		}
	}
}
