package natlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

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
