package natlab

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat/machinetest"
)

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
		machinetest.Calmly(t, func() string {
			if took := roundTrip(t, h1, h2.Addr()); took > 200*time.Millisecond { // by way of the internet
				return fmt.Sprintf("kernel %v: %v on the LAN", kernel, took)
			}
			return ""
		})
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
	far.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := far.ReadFrom(make([]byte, 64)); err == nil {
		t.Errorf("%d bytes of multicast came to another LAN", n)
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
	if syns.Load() == 0 || third.Load() != 0 { // the kernel may have sent a second one
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
	before := syns.Load()
	connected(t, h1, h2)
	if syns.Load() != before {
		t.Error("watched on after the end")
	}
}
