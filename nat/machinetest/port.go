package machinetest

import (
	"net"
	"net/netip"
	"testing"

	"github.com/libp2p/go-reuseport"
)

// ClosedPort is a TCP port of an IP address of this machine that refuses connections.
// The system gives it to nobody until the test is over, as it may one that was
// listened on and given back; who asks for it by number can have it all the same.
func ClosedPort(t testing.TB, ip string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// It is the local port of a connection that stands, with SO_REUSEADDR.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Control: reuseport.Control}
	near, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		near.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.(*net.TCPConn).SetLinger(0) // leaves no TIME_WAIT
		near.Close()
		far.Close()
	})
	return near.LocalAddr().(*net.TCPAddr).AddrPort()
}
