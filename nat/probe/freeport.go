package probe

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"

	"github.com/sallyport-net/sallyport/nat"
)

const (
	// The local ports that are drawn: what Linux gives out by itself, but for
	// the ends.
	lowLocal, highLocal = 33000, 60000
	// drawTries is how often ports are drawn. On a machine that keeps half of
	// them in TIME_WAIT, one row of five in thirty is free.
	drawTries = 256
)

var errNoFreePorts = errors.New("no free local ports")

// freePort finds a local TCP port that nobody has, by binding it alone for a
// moment. With port 0 it may be any.
func freePort(local netip.Addr, port uint16) (uint16, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port), nil
}

// free reports whether nobody has a local port.
func free(t nat.Transport, local netip.Addr, port uint16) bool {
	if t == nat.TCP {
		_, err := freePort(local, port)
		return err == nil
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// drawRow draws n consecutive ports that are free; nil if it can't find any.
func drawRow(free func(uint16) bool, n int) []uint16 {
	for range drawTries {
		first := uint16(lowLocal + rand.IntN(highLocal-lowLocal-n))
		var row []uint16
		for len(row) < n && free(first+uint16(len(row))) {
			row = append(row, first+uint16(len(row)))
		}
		if len(row) == n {
			return row
		}
	}
	return nil
}

// drawApart draws n ports that are free near one another, so that a NAT that keeps
// distances seldom wraps between them, but not neighbours; nil if it can't
// find any.
func drawApart(free func(uint16) bool, n int) []uint16 {
	out := make([]uint16, 0, n)
	port := lowLocal + rand.IntN(highLocal-lowLocal-100*n)
	for range drawTries {
		if port += 5 + rand.IntN(95); port > 65535 {
			return nil
		}
		if !free(uint16(port)) {
			continue
		}
		if out = append(out, uint16(port)); len(out) == n {
			rand.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
			return out
		}
	}
	return nil
}
