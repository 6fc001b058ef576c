package natlab

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// moment is how long a dial lasts that should lead nowhere.
const moment = 300 * time.Millisecond

func try(t *testing.T, h *Host, d *net.Dialer, to netip.AddrPort, within time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	c, err := h.Dial(ctx, d, "tcp", to.String())
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// greet has the host listen on port and tell everybody as whom it sees them.
func greet(t *testing.T, h *Host, port string) {
	t.Helper()
	l, err := h.Listen("tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, c.RemoteAddr().String())
			c.Close()
		}
	}()
}

// seenAs dials a greeter.
func seenAs(t *testing.T, h *Host, d *net.Dialer, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	c, err := try(t, h, d, to, patience)
	if err != nil {
		t.Fatalf("%s to %v: %v", h.Name(), to, err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := netip.ParseAddrPort(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
}

// Both families of one host meet the same server: IPv4 translated, IPv6 as it
// is, through two boxes in a row as through one.
func TestDualStack(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{Stack: DualStack, Addresses: 2})
	greet(t, server, "80")
	outer := newBox(t, l, NAT{V6: &V6{}})
	for name, b := range map[string]*Box{"one box": newBox(t, l, NAT{V6: &V6{ULA: true}}), "two": newBox(t, l, NAT{V6: &V6{}, Behind: outer})} {
		h := newHost(t, l, HostConfig{Behind: b, Stack: DualStack})
		if seen := seenAs(t, h, nil, netip.AddrPortFrom(server.Addr(), 80)); seen.Addr() != h.External() || seen.Addr() == h.Addr() {
			t.Errorf("%s: IPv4 seen as %v, want %v", name, seen, h.External())
		}
		if seen := seenAs(t, h, nil, netip.AddrPortFrom(server.Addr6(), 80)); seen.Addr() != h.Addr6() {
			t.Errorf("%s: IPv6 seen as %v, want %v", name, seen, h.Addr6())
		}
	}
	only := newHost(t, l, HostConfig{Behind: outer, Stack: IPv6})
	if seen := seenAs(t, only, nil, netip.AddrPortFrom(server.Addrs()[3], 80)); seen.Addr() != only.Addr() || !only.Addr().Is6() {
		t.Errorf("IPv6 alone: seen as %v, want %v", seen, only.Addr())
	}
	if _, err := l.Host(HostConfig{Behind: newBox(t, l, NAT{}), Stack: DualStack}); err == nil {
		t.Error("IPv6 behind a box that has none")
	}
}

// What a firewall does with strangers, and what their kernels make of it.
func TestIPv6Firewall(t *testing.T) {
	l := newLab(t, Config{})
	stranger := newHost(t, l, HostConfig{Stack: IPv6, Delay: time.Millisecond}) // else the error may come while connect() still holds the socket
	for _, tt := range []struct {
		name string
		v6   V6
		want error
	}{
		{"drop", V6{}, os.ErrDeadlineExceeded},
		{"rst", V6{Refuse: RST}, syscall.ECONNREFUSED},
		{"icmp port", V6{Refuse: PortICMP}, syscall.ECONNREFUSED},
		{"icmp prohibited", V6{Refuse: ProhibitedICMP}, syscall.EACCES},
		{"icmp host", V6{Refuse: HostICMP}, syscall.EHOSTUNREACH},
		{"open", V6{Open: true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{V6: &tt.v6}), Stack: IPv6})
			greet(t, h, "80")
			roundTripTCP(t, h, stranger)
			within := patience
			if tt.want == os.ErrDeadlineExceeded {
				within = moment
			}
			_, err := try(t, stranger, nil, netip.AddrPortFrom(h.Addr6(), 80), within)
			if timeout := (net.Error)(nil); errors.As(err, &timeout) && timeout.Timeout() {
				err = os.ErrDeadlineExceeded
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("a stranger meets %v, want %v", err, tt.want)
			}
		})
	}
}

// roundTripTCP shows that client reaches server.
func roundTripTCP(t *testing.T, client, server *Host) {
	t.Helper()
	l, err := server.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := try(t, client, nil, netip.AddrPortFrom(server.Addr6(), l.Addr().(*net.TCPAddr).AddrPort().Port()), patience)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// Where a packet with too small a hop limit dies, and that the sender hears it.
func TestIPv6HopLimit(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{Stack: IPv6})
	greet(t, server, "80")
	h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{V6: &V6{}}), Stack: IPv6, Delay: time.Millisecond})
	for hops := 1; hops <= 3; hops++ {
		d := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
			c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
			})
			return err
		}}
		_, err := try(t, h, d, netip.AddrPortFrom(server.Addr6(), 80), patience)
		if hops < 3 && !errors.Is(err, syscall.EHOSTUNREACH) || hops == 3 && err != nil {
			t.Errorf("hop limit %d: %v", hops, err)
		}
	}
}

// Unique local addresses serve inside a box and nowhere else.
func TestULA(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{Stack: IPv6})
	greet(t, server, "80")
	b := newBox(t, l, NAT{V6: &V6{ULA: true, NoGlobal: true}, Delay: 50 * time.Millisecond})
	h1, h2 := newHost(t, l, HostConfig{Behind: b, Stack: DualStack}), newHost(t, l, HostConfig{Behind: b, Stack: DualStack})
	greet(t, h2, "80")
	var core atomic.Int32
	l.Watch(func(Packet) { core.Add(1) })
	if seen := seenAs(t, h1, nil, netip.AddrPortFrom(h2.ULA(), 80)); seen.Addr() != h1.ULA() || h1.Addr6().IsValid() {
		t.Errorf("seen as %v, want %v; global %v", seen, h1.ULA(), h1.Addr6())
	}
	if _, err := try(t, h1, nil, netip.AddrPortFrom(server.Addr6(), 80), moment); err == nil {
		t.Error("a unique local address reaches the internet")
	}
	if n := core.Load(); n != 0 {
		t.Errorf("%d packets left the box", n)
	}
}

// Two uplinks: the first one's route wins whatever the address, as on a laptop,
// and a socket bound to the other's device goes its way.
func TestUplinks(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{Stack: DualStack})
	greet(t, server, "80")
	h := newHost(t, l, HostConfig{
		Behind: newBox(t, l, NAT{V6: &V6{}}), Stack: DualStack,
		More: []Uplink{{Behind: newBox(t, l, NAT{V6: &V6{}}), Stack: DualStack}},
	})
	eth0, eth1 := h.Interfaces()[0], h.Interfaces()[1]
	for k, to := range []netip.AddrPort{netip.AddrPortFrom(server.Addr(), 80), netip.AddrPortFrom(server.Addr6(), 80)} {
		want := [2]netip.Addr{eth0.Addrs()[k], eth1.Addrs()[k]}
		if k == 0 {
			want = [2]netip.Addr{eth0.External(), eth1.External()}
		}
		if seen := seenAs(t, h, nil, to); seen.Addr() != want[0] {
			t.Errorf("by default seen as %v, want %v", seen, want[0])
		}
		local := &net.TCPAddr{IP: eth1.Addrs()[k].AsSlice()}
		if _, err := try(t, h, &net.Dialer{LocalAddr: local}, to, moment); err == nil {
			t.Error("eth1's address got out by eth0")
		}
		bound := &net.Dialer{LocalAddr: local, Control: func(_, _ string, c syscall.RawConn) (err error) {
			c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "eth1") })
			return err
		}}
		if seen := seenAs(t, h, bound, to); seen.Addr() != want[1] {
			t.Errorf("bound to eth1 seen as %v, want %v", seen, want[1])
		}
	}
	eth0.Cut(true)
	if _, err := try(t, h, nil, netip.AddrPortFrom(server.Addr(), 80), moment); err == nil {
		t.Error("a link that was cut carries")
	}
}

func TestBridge(t *testing.T) {
	l := newLab(t, Config{})
	h := newHost(t, l, HostConfig{})
	if err := h.Bridge("docker0", netip.MustParsePrefix("172.17.0.1/16")); err != nil {
		t.Fatal(err)
	}
	greet(t, h, "80")
	if seen := seenAs(t, h, nil, netip.MustParseAddrPort("172.17.0.1:80")); seen.Addr().String() != "172.17.0.1" {
		t.Errorf("seen as %v", seen)
	}
}
