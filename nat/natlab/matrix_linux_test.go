package natlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat"
)

// reuse lets a listener and several dials share a local port.
func reuse(_, _ string, c syscall.RawConn) error {
	var err error
	c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	})
	return err
}

// dialFrom connects from local, a port or an endpoint of the host.
func dialFrom(h *Host, local netip.AddrPort, remote netip.AddrPort) (net.Conn, error) {
	d := &net.Dialer{Timeout: patience, Control: reuse, LocalAddr: net.TCPAddrFromAddrPort(local)}
	return h.Dial(context.Background(), d, "tcp4", remote.String())
}

// listenOn listens on a port that others dial from.
func listenOn(t testing.TB, h *Host, local netip.AddrPort) *net.TCPListener {
	t.Helper()
	var ln net.Listener
	err := h.Do(func() (err error) {
		ln, err = (&net.ListenConfig{Control: reuse}).Listen(context.Background(), "tcp4", local.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

// mirror has the host tell everyone who connects to the endpoint from where.
func mirror(t testing.TB, h *Host, local netip.AddrPort) {
	t.Helper()
	ln := listenOn(t, h, local)
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, c.RemoteAddr())
			c.Close()
		}
	}()
}

// seenTCP is the address that a mirror sees of a local port.
func seenTCP(t testing.TB, h *Host, port uint16, server netip.AddrPort) netip.AddrPort {
	t.Helper()
	c, err := dialFrom(h, netip.AddrPortFrom(h.Addr(), port), server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	line, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := netip.ParseAddrPort(string(line[:len(line)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// seenUDP is the address that an echo server sees of a socket.
func seenUDP(t testing.TB, conn net.PacketConn, server netip.AddrPort) netip.AddrPort {
	t.Helper()
	conn.WriteTo([]byte("?"), net.UDPAddrFromAddrPort(server))
	conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 64)
	n, _, err := conn.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := netip.ParseAddrPort(string(b[:n]))
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// listenUDP opens a socket on the host that ends with the test.
func listenUDP(t testing.TB, h *Host, port uint16) net.PacketConn {
	t.Helper()
	conn, err := h.ListenPacket("udp4", fmt.Sprintf("%v:%d", h.Addr(), port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

var deltas = []nat.Delta{
	{Kind: nat.Equal}, {Kind: nat.Preserving},
	{Kind: nat.Independent, Value: 1}, {Kind: nat.Dependent, Value: 2}, {Kind: nat.Random},
}

// Every mapping, filtering and allocation, by real sockets against a server
// with two addresses and two ports.
func TestMatrix(t *testing.T) {
	l := newLab(t, Config{Seed: 7})
	server := newHost(t, l, HostConfig{Addresses: 2})
	at := func(address int, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(server.Addrs()[address], port)
	}
	first, port, address := at(0, 3478), at(0, 3479), at(1, 3478)
	for _, s := range []netip.AddrPort{first, port, address} {
		echoUDP(t, server, s.String())
		mirror(t, server, s)
	}
	strangerPort, err := server.ListenPacket("udp4", at(0, 4000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer strangerPort.Close()
	strangerAddress, err := server.ListenPacket("udp4", at(1, 4000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer strangerAddress.Close()

	samePort := map[nat.Behavior]bool{nat.EndpointIndependent: true, nat.AddressDependent: true}
	sameAddress := map[nat.Behavior]bool{nat.EndpointIndependent: true}
	for _, mapping := range behaviors {
		for _, filtering := range behaviors {
			for _, ports := range deltas {
				name := fmt.Sprintf("%v/%v/%v", mapping, filtering, ports)
				b := newBox(t, l, NAT{Mapping: mapping, Filtering: filtering, Ports: ports, Refuse: RST})
				h := newHost(t, l, HostConfig{Behind: b})
				t.Run("udp/"+name, func(t *testing.T) {
					conn := listenUDP(t, h, 20000)
					seen := seenUDP(t, conn, first)
					if got := seenUDP(t, conn, port) == seen; got != samePort[mapping] {
						t.Errorf("one mapping for two ports: %v", got)
					}
					if got := seenUDP(t, conn, address) == seen; got != sameAddress[mapping] {
						t.Errorf("one mapping for two addresses: %v", got)
					}

					// What strangers send, and last one that gets in for certain.
					conn = listenUDP(t, h, 20500)
					seen = seenUDP(t, conn, first)
					strangerPort.WriteTo([]byte("port"), net.UDPAddrFromAddrPort(seen))
					strangerAddress.WriteTo([]byte("address"), net.UDPAddrFromAddrPort(seen))
					conn.WriteTo([]byte("?"), net.UDPAddrFromAddrPort(first))
					var got []string
					for b := make([]byte, 64); !slices.Contains(got, seen.String()); {
						n, _, err := conn.ReadFrom(b)
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, string(b[:n]))
					}
					if slices.Contains(got, "port") != samePort[filtering] || slices.Contains(got, "address") != sameAddress[filtering] {
						t.Errorf("let in: %v", got)
					}

					var seenPorts []int
					locals := []uint16{30000, 30001, 30002, 30003}
					for _, local := range locals {
						seenPorts = append(seenPorts, int(seenUDP(t, listenUDP(t, h, local), first).Port()))
					}
					allocates(t, ports, seenPorts)
				})
				t.Run("tcp/"+name, func(t *testing.T) {
					seen := seenTCP(t, h, 20000, first)
					if got := seenTCP(t, h, 20000, port) == seen; got != samePort[mapping] {
						t.Errorf("one mapping for two ports: %v", got)
					}
					if got := seenTCP(t, h, 20000, address) == seen; got != sameAddress[mapping] {
						t.Errorf("one mapping for two addresses: %v", got)
					}
					listenOn(t, h, netip.AddrPortFrom(h.Addr(), 20500))
					seen = seenTCP(t, h, 20500, first)
					for _, from := range []struct {
						stranger netip.AddrPort
						admitted bool
					}{{at(0, 4000), samePort[filtering]}, {at(1, 4000), sameAddress[filtering]}} {
						c, err := dialFrom(server, from.stranger, seen)
						if err == nil {
							c.(*net.TCPConn).SetLinger(0) // no TIME_WAIT on a four-tuple of the next cell
							c.Close()
						}
						if (err == nil) != from.admitted || err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
							t.Errorf("dial from %v: %v, want admitted %v", from.stranger, err, from.admitted)
						}
					}
					var seenPorts []int
					for local := uint16(30000); local < 30004; local++ {
						seenPorts = append(seenPorts, int(seenTCP(t, h, local, first).Port()))
					}
					allocates(t, ports, seenPorts)
				})
			}
		}
	}
}

// allocates checks the external ports that local ports 30000, 30001, … got.
func allocates(t *testing.T, ports nat.Delta, seen []int) {
	t.Helper()
	steps := distances(seen, 64512)
	want := []int{1, 1, 1}
	switch ports.Kind {
	case nat.Equal, nat.Preserving:
		if (seen[0] == 30000) != (ports.Kind == nat.Equal) {
			t.Errorf("port 30000 became %d", seen[0])
		}
	case nat.Dependent, nat.Independent:
		want = []int{ports.Value, ports.Value, ports.Value}
	case nat.Random:
		if steps[0] == steps[1] && steps[1] == steps[2] {
			t.Errorf("ports %v follow a pattern", seen)
		}
		return
	}
	if !slices.Equal(steps, want) {
		t.Errorf("ports %v, steps %v, want %v", seen, steps, want)
	}
}
