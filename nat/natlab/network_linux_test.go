package natlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat"
)

// roundTrip pings an address from the host, by ICMP, and gives the time.
func roundTrip(t testing.TB, h *Host, to netip.Addr) time.Duration {
	t.Helper()
	conn, err := h.listenICMP()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := ping(h.Addr(), to, icmpEcho, 4711)
	start := time.Now()
	conn.WriteTo(p.b[p.l4:], &net.IPAddr{IP: to.AsSlice()})
	conn.SetReadDeadline(start.Add(patience))
	for b := make([]byte, maxPacket); ; {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			t.Fatalf("no answer to a ping from %v to %v: %v", h.Addr(), to, err)
		}
		if n >= 8 && b[0] == icmpEchoReply && bytes.Equal(b[4:6], p.b[p.l4+4:p.l4+6]) && from.String() == to.String() {
			return time.Since(start)
		}
	}
}

// listenICMP opens a raw socket.
func (h *Host) listenICMP() (conn net.PacketConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenPacket("ip4:icmp", h.Addr().String())
		return err
	})
	return conn, err
}

func TestDelay(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{Delay: 5 * time.Millisecond})
	echoUDP(t, server, ":7")
	behind := newBox(t, l, NAT{Delay: 20 * time.Millisecond})
	h := newHost(t, l, HostConfig{Behind: behind, Delay: 10 * time.Millisecond})
	want := 2 * 35 * time.Millisecond
	conn := listenUDP(t, h, 5000)
	var median time.Duration
	for range 3 { // the machine may be busy
		var times []time.Duration
		for range 21 {
			start := time.Now()
			seenUDP(t, conn, netip.AddrPortFrom(server.Addr(), 7))
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		t.Log(times[0], times[10], times[20])
		if times[0] < want {
			t.Fatalf("round trip in %v, want at least %v", times[0], want)
		}
		if median = times[10]; median <= want+2*time.Millisecond {
			return
		}
	}
	t.Errorf("median %v, want %v to 2 ms more", median, want)
}

func TestSetLink(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{})
	h := newHost(t, l, HostConfig{})
	if took := roundTrip(t, h, server.Addr()); took > 50*time.Millisecond {
		t.Errorf("%v without delay", took)
	}
	if err := h.SetLink(Link{Delay: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if took := roundTrip(t, h, server.Addr()); took < 100*time.Millisecond {
		t.Errorf("%v with 50 ms each way", took)
	}
	if h.SetLink(Link{Loss: 2}) == nil {
		t.Error("a loss of 2 was taken")
	}
}

// burst sends n numbered datagrams over a link and gives the numbers in the
// order of arrival at the core.
func burst(t *testing.T, seed uint64, k Link, n int) []int {
	t.Helper()
	l := newLab(t, Config{Seed: seed})
	server := newHost(t, l, HostConfig{})
	h := newHost(t, l, HostConfig{Delay: k.Delay, Jitter: k.Jitter, Loss: k.Loss})
	arrived := make(chan int, 2*n)
	l.Watch(func(p Packet) {
		if p.Proto == protoUDP {
			arrived <- int(p.Dst.Port())
		}
	})
	conn := listenUDP(t, h, 5000)
	send := func(i int) { conn.WriteTo(nil, &net.UDPAddr{IP: server.Addr().AsSlice(), Port: i}) }
	for i := range n {
		send(1 + i)
	}
	// Where some are lost, what comes last says that there are no more.
	const last = 60000
	var order []int
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); len(order) < n; {
		select {
		case i := <-arrived:
			if i == last {
				return order
			}
			order = append(order, i)
		case <-again.C:
			if k.Loss > 0 {
				send(last)
			}
		case <-limit:
			t.Fatalf("%d of %d datagrams arrived", len(order), n)
		}
	}
	return order
}

func TestOrder(t *testing.T) {
	for _, k := range []Link{{}, {Delay: 10 * time.Millisecond}} {
		if got := burst(t, 1, k, 300); !slices.IsSorted(got) {
			t.Errorf("%+v: the order %v", k, got)
		}
	}
	if got := burst(t, 1, Link{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}, 300); slices.IsSorted(got) {
		t.Error("nothing overtakes with jitter")
	}
}

func TestLoss(t *testing.T) {
	const n = 3000
	first := burst(t, 1, Link{Loss: 0.1}, n)
	if got := n - len(first); got < 220 || got > 380 { // 300 ± 5 deviations
		t.Errorf("%d of %d lost at 10 %%", got, n)
	}
	if again := burst(t, 1, Link{Loss: 0.1}, n); !slices.Equal(first, again) {
		t.Error("another loss with the same seed")
	}
	if other := burst(t, 2, Link{Loss: 0.1}, n); slices.Equal(first, other) {
		t.Error("the same loss with another seed")
	}
}

// TCP gets through loss, with the kernel's retransmits.
func TestTCPOverLoss(t *testing.T) {
	l := newLab(t, Config{Seed: 3})
	server := newHost(t, l, HostConfig{})
	h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{Loss: 0.05, Jitter: time.Millisecond})})
	from, to := connected(t, h, server)
	data := bytes.Repeat([]byte("sallyport"), 20000)
	go func() {
		from.Write(data)
		from.Close()
	}()
	to.SetDeadline(time.Now().Add(6 * patience))
	if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
	}
}

func TestCut(t *testing.T) {
	l := newLab(t, Config{})
	b := newBox(t, l, NAT{})
	server, h := newHost(t, l, HostConfig{}), newHost(t, l, HostConfig{Behind: b})
	from, to := connected(t, h, server)
	for _, c := range []interface{ Cut(bool) }{h, b, server} {
		c.Cut(true)
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		to.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := to.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%T cut: read gave %v", c, err)
		}
		c.Cut(false)
		to.SetReadDeadline(time.Now().Add(patience))
		if _, err := to.Read(make([]byte, 1)); err != nil {
			t.Errorf("%T: %v after the cut", c, err)
		}
	}
}

func TestLAN(t *testing.T) {
	for _, kernel := range []bool{false, true} {
		l := newLab(t, Config{})
		b := newBox(t, l, NAT{Kernel: kernel, Delay: 100 * time.Millisecond})
		h1, h2 := newHost(t, l, HostConfig{Behind: b}), newHost(t, l, HostConfig{Behind: b})
		var core atomic.Int32
		l.Watch(func(Packet) { core.Add(1) })
		from, _ := connected(t, h1, h2)
		if from.RemoteAddr().(*net.TCPAddr).AddrPort().Addr() != h2.Addr() {
			t.Errorf("connected to %v", from.RemoteAddr())
		}
		if took := roundTrip(t, h1, h2.Addr()); took > 50*time.Millisecond {
			t.Errorf("kernel %v: %v on the LAN", kernel, took)
		}
		roundTrip(t, h1, h1.Gateway())
		if n := core.Load(); n != 0 {
			t.Errorf("kernel %v: %d packets left the LAN", kernel, n)
		}
	}
}

func TestBroadcast(t *testing.T) {
	l := newLab(t, Config{})
	b := newBox(t, l, NAT{})
	h1, h2 := newHost(t, l, HostConfig{Behind: b}), newHost(t, l, HostConfig{Behind: b})
	other := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{})})
	group := &net.UDPAddr{IP: net.IPv4(239, 7, 7, 7), Port: 6000}
	join := func(h *Host) (conn *net.UDPConn) {
		err := h.Do(func() error {
			eth0, err := net.InterfaceByName("eth0")
			if err == nil {
				conn, err = net.ListenMulticastUDP("udp4", eth0, group)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	near, far := join(h2), join(other)
	plain, err := h2.ListenPacket("udp4", ":6001")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	conn := listenUDP(t, h1, 6002)
	hear := func(c net.PacketConn, want string) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 64)
		n, from, err := c.ReadFrom(buf)
		if err != nil || string(buf[:n]) != want || from.(*net.UDPAddr).AddrPort().Addr().Unmap() != h1.Addr() {
			t.Errorf("got %q from %v, %v; want %q", buf[:n], from, err, want)
		}
	}
	if _, err := conn.WriteTo([]byte("multicast"), group); err != nil {
		t.Fatal(err)
	}
	hear(near, "multicast")
	if _, err := conn.WriteTo([]byte("broadcast"), &net.UDPAddr{IP: net.IPv4(192, 168, 1, 255), Port: 6001}); err != nil {
		t.Fatal(err)
	}
	hear(plain, "broadcast")
	far.SetReadDeadline(time.Now())
	if n, _, err := far.ReadFrom(make([]byte, 64)); err == nil {
		t.Errorf("%d bytes of multicast came to another LAN", n)
	}
}

func TestHairpin(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			l := newLab(t, Config{})
			server := newHost(t, l, HostConfig{})
			at := netip.AddrPortFrom(server.Addr(), 80)
			mirror(t, server, at)
			b := newBox(t, l, NAT{Hairpin: on, Filtering: nat.EndpointIndependent, Ports: random})
			h1, h2 := newHost(t, l, HostConfig{Behind: b}), newHost(t, l, HostConfig{Behind: b})
			mirror(t, h1, netip.AddrPortFrom(h1.Addr(), 20500))
			seen := seenTCP(t, h1, 20500, at)
			if on {
				own := seenTCP(t, h2, 20600, at)
				if got := seenTCP(t, h2, 20600, seen); got != own || got.Addr() != b.Externals()[0] {
					t.Errorf("came from %v, want the external %v", got, own)
				}
				return
			}
			d := &net.Dialer{Timeout: 100 * time.Millisecond}
			if _, err := h2.Dial(context.Background(), d, "tcp4", seen.String()); !isTimeout(err) {
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
}

// A carrier's NAT in front of home routers, of which one or the other may be
// Linux's.
func TestCarrier(t *testing.T) {
	for _, tt := range []struct{ carrier, home NAT }{
		{NAT{}, NAT{}}, {NAT{}, NAT{Kernel: true}}, {NAT{Kernel: true}, NAT{}}, {NAT{Firewall: true}, NAT{}}, {NAT{}, NAT{Firewall: true}}, {NAT{Kernel: true}, NAT{Firewall: true}},
	} {
		t.Run(fmt.Sprintf("carrier kernel %v firewall %v, home kernel %v firewall %v", tt.carrier.Kernel, tt.carrier.Firewall, tt.home.Kernel, tt.home.Firewall), func(t *testing.T) {
			l := newLab(t, Config{})
			server := newHost(t, l, HostConfig{})
			at := netip.AddrPortFrom(server.Addr(), 80)
			mirror(t, server, at)
			echoUDP(t, server, at.String())
			carrier := newBox(t, l, tt.carrier)
			tt.home.Behind = carrier
			home := newBox(t, l, tt.home)
			h := newHost(t, l, HostConfig{Behind: home})
			if a := home.Externals()[0]; netip.MustParsePrefix("100.64.0.0/10").Contains(a) == tt.carrier.Firewall {
				t.Errorf("the home router's external address is %v", a)
			}
			want := carrier.Externals()[0]
			if tt.carrier.Firewall {
				want = home.Externals()[0]
			}
			if got := seenTCP(t, h, 20000, at); got.Addr() != want || h.External() != want {
				t.Errorf("seen as %v, External %v, want %v", got, h.External(), want)
			}
			if got := seenUDP(t, listenUDP(t, h, 20000), at); got.Addr() != want {
				t.Errorf("seen as %v over UDP, want %v", got, want)
			}
			roundTrip(t, h, server.Addr())
		})
	}
}

// A host can't write in another's name, from a LAN or on the internet.
func TestForged(t *testing.T) {
	l := newLab(t, Config{})
	b := newBox(t, l, NAT{})
	server, public := newHost(t, l, HostConfig{}), newHost(t, l, HostConfig{})
	inner, neighbour := newHost(t, l, HostConfig{Behind: b}), newHost(t, l, HostConfig{Behind: b})
	var seen atomic.Int32
	l.Watch(func(p Packet) {
		if p.Proto == protoUDP {
			seen.Add(1)
		}
	})
	for _, tt := range []struct {
		from, as *Host
		want     int32
	}{
		{public, server, 0}, {public, inner, 0}, {inner, neighbour, 0}, {inner, public, 0}, {public, public, 1}, {inner, inner, 1},
	} {
		seen.Store(0)
		p := udp(netip.AddrPortFrom(tt.as.Addr(), 5000), netip.AddrPortFrom(server.Addr(), 7))
		err := tt.from.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Sendto(fd, p.b, 0, &unix.SockaddrInet4{Addr: server.Addr().As4()})
		})
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, tt.from, server.Addr()) // comes after
		if got := seen.Load(); got != tt.want {
			t.Errorf("%d packets of %v as %v, want %d", got, tt.from.Addr(), tt.as.Addr(), tt.want)
		}
	}
}

// Two firewalls can't have the same addresses, two NATs can.
func TestAddressTaken(t *testing.T) {
	l := newLab(t, Config{})
	lan := netip.MustParsePrefix("60.1.1.0/24")
	for _, firewall := range []bool{false, true} {
		first := newBox(t, l, NAT{Firewall: firewall, LAN: lan})
		second := newBox(t, l, NAT{Firewall: firewall, LAN: lan})
		newHost(t, l, HostConfig{Behind: first})
		if _, err := l.Host(HostConfig{Behind: second}); (err != nil) != firewall {
			t.Errorf("firewall %v: %v", firewall, err)
		}
	}
	small := newBox(t, l, NAT{LAN: netip.MustParsePrefix("10.9.9.0/29")})
	if _, err := l.Host(HostConfig{Behind: small, Addresses: 6}); err == nil {
		t.Error("6 hosts beside a router in a /29")
	}
	if _, err := l.Host(HostConfig{Behind: newBox(t, newLab(t, Config{}), NAT{})}); err == nil {
		t.Error("behind a box of another lab")
	}
}

func TestFirewallHost(t *testing.T) {
	l := newLab(t, Config{})
	server := newHost(t, l, HostConfig{})
	at := netip.AddrPortFrom(server.Addr(), 80)
	mirror(t, server, at)
	h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{Firewall: true, Refuse: RST})})
	mirror(t, h, netip.AddrPortFrom(h.Addr(), 80))
	if got := seenTCP(t, h, 20000, at); got != netip.AddrPortFrom(h.Addr(), 20000) || h.External() != h.Addr() {
		t.Errorf("translated %v to %v", h.Addr(), got)
	}
	if _, err := dialFrom(server, netip.AddrPortFrom(server.Addr(), 0), netip.AddrPortFrom(h.Addr(), 80)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("unsolicited: %v, want refused", err)
	}
}

func TestBlocked(t *testing.T) {
	for _, kernel := range []bool{false, true} {
		l := newLab(t, Config{})
		server := newHost(t, l, HostConfig{})
		for _, port := range []uint16{80, 443} {
			mirror(t, server, netip.AddrPortFrom(server.Addr(), port))
		}
		var udpSeen, web atomic.Int32
		l.Watch(func(p Packet) {
			if p.Proto == protoUDP {
				udpSeen.Add(1)
			}
			if p.Dst.Port() == 80 {
				web.Add(1)
			}
		})
		h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{UDPBlocked: true, OnlyTCPPorts: []uint16{443}, Kernel: kernel})})
		listenUDP(t, h, 5000).WriteTo([]byte("x"), &net.UDPAddr{IP: server.Addr().AsSlice(), Port: 7})
		d := &net.Dialer{Timeout: 50 * time.Millisecond}
		if _, err := h.Dial(context.Background(), d, "tcp4", netip.AddrPortFrom(server.Addr(), 80).String()); !isTimeout(err) {
			t.Errorf("port 80: %v, want a timeout", err)
		}
		seenTCP(t, h, 20000, netip.AddrPortFrom(server.Addr(), 443))
		if udpSeen.Load() != 0 || web.Load() != 0 {
			t.Errorf("kernel %v: %d datagrams, %d packets to port 80 got out", kernel, udpSeen.Load(), web.Load())
		}
	}
}

func TestReboot(t *testing.T) {
	for _, kernel := range []bool{false, true} {
		l := newLab(t, Config{})
		server := newHost(t, l, HostConfig{})
		at := netip.AddrPortFrom(server.Addr(), 7)
		echoUDP(t, server, at.String())
		b := newBox(t, l, NAT{Ports: random, Kernel: kernel})
		h := newHost(t, l, HostConfig{Behind: b})
		conn := listenUDP(t, h, 5000)
		before := seenUDP(t, conn, at)
		if again := seenUDP(t, conn, at); again != before {
			t.Errorf("kernel %v: %v became %v by itself", kernel, before, again)
		}
		if err := b.Reboot(); err != nil {
			t.Fatal(err)
		}
		if after := seenUDP(t, conn, at); after == before || after.Addr() != before.Addr() {
			t.Errorf("kernel %v: still %v after the reboot", kernel, after)
		}
		if err := b.Renumber(); (err != nil) != kernel {
			t.Fatalf("kernel %v: renumber: %v", kernel, err)
		}
		if after := seenUDP(t, conn, at); !kernel && (after.Addr() == before.Addr() || after.Addr() != h.External()) {
			t.Errorf("still %v after a new address, External %v", after, h.External())
		}
	}
}

// What comes to an address that nobody has any more goes nowhere.
func TestWatch(t *testing.T) {
	l := newLab(t, Config{})
	h1, h2, h3 := newHost(t, l, HostConfig{}), newHost(t, l, HostConfig{}), newHost(t, l, HostConfig{})
	var syns, third atomic.Int32
	var line atomic.Value
	stop := l.Watch(func(p Packet) {
		if p.SYN() && syns.Add(1) == 1 {
			line.Store(p.String())
		}
		if p.Dst.Addr() == h3.Addr() {
			third.Add(1)
		}
	})
	from, _ := connected(t, h1, h2)
	if syns.Load() != 1 || third.Load() != 0 {
		t.Errorf("%d SYNs, %d packets to the third host", syns.Load(), third.Load())
	}
	if want := fmt.Sprintf("tcp %v > %v SYN ttl 64 len 60", from.LocalAddr(), from.RemoteAddr()); line.Load() != want {
		t.Errorf("got %q, want %q", line.Load(), want)
	}
	roundTrip(t, h1, h3.Addr())
	if third.Load() != 1 {
		t.Errorf("%d packets to the third host, want the ping", third.Load())
	}
	stop()
	connected(t, h1, h2)
	if syns.Load() != 1 {
		t.Error("watched on after the end")
	}
}
