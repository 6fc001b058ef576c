package probe

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// listenSilently gives an address that takes packets and connections over UDP
// and TCP, and says nothing.
func listenSilently(t *testing.T) string {
	return rogue(t, func([]byte, netip.AddrPort) [][]byte { return nil })
}

// rogue is a server that sends whatever say makes of a request and its source,
// each slice in a packet or a write of its own.
func rogue(t *testing.T, say func(request []byte, from netip.AddrPort) [][]byte) string {
	t.Helper()
	var udp *net.UDPConn
	var tcp net.Listener
	err := errors.New("not tried")
	for tries := 0; err != nil && tries < 100; tries++ { // until a port is free over both
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
			continue
		}
		if tcp, err = net.Listen("tcp", udp.LocalAddr().String()); err != nil {
			_ = udp.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	beRogue(t, udp, tcp, say)
	return udp.LocalAddr().String()
}

// beRogue serves on sockets, which it closes when the test ends.
func beRogue(t *testing.T, udp net.PacketConn, tcp net.Listener, say func(request []byte, from netip.AddrPort) [][]byte) {
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			for _, out := range say(b[:n], unmapped(from.(*net.UDPAddr).AddrPort())) {
				_, _ = udp.WriteTo(out, from)
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				b := make([]byte, 2048)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					for _, out := range say(b[:n], unmapped(c.RemoteAddr().(*net.TCPAddr).AddrPort())) {
						if _, err := c.Write(out); err != nil {
							return
						}
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = udp.Close()
		_ = tcp.Close()
		wg.Wait()
	})
}
