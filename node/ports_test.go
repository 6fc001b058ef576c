package node

import (
	"net"
	"net/netip"
	"testing"
)

// Whatever rows are asked for, a port comes again only after nearly all others
// have come, and never while somebody listens there.
func TestFreshPorts(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	f := newFreshPorts()
	l, err := net.Listen("tcp", netip.AddrPortFrom(local, uint16(lowestFresh+(f.next-lowestFresh+100)%(highestFresh-lowestFresh+1))).String())
	if err != nil {
		t.Skipf("the port is taken already: %v", err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).AddrPort()
	const most = 9
	given := map[uint16]bool{}
	for n := 0; len(given) < (highestFresh-lowestFresh)/2; n++ {
		row := 1 + n%most
		first, err := f.row(local, row)
		if err != nil {
			t.Fatal(err)
		}
		for k := range row {
			port := first.Port() + uint16(k)
			switch {
			case given[port]:
				t.Fatalf("port %d comes twice within %d ports", port, len(given))
			case port < lowestFresh || port > highestFresh:
				t.Fatalf("port %d", port)
			case port == taken.Port():
				t.Fatalf("port %d is listened on", port)
			}
			given[port] = true
		}
	}
}

// A node that has gone through all its ports begins anew, and one whose
// address is not there says so.
func TestFreshPortsWrap(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	f := &freshPorts{next: highestFresh - 3}
	if first, err := f.row(local, 8); err != nil || first.Port() < lowestFresh || first.Port() > highestFresh-7 {
		t.Errorf("got %v, %v", first, err)
	}
	if first, err := f.row(netip.MustParseAddr("192.0.2.1"), 1); err == nil {
		t.Errorf("got %v, which is not ours", first)
	}
}
