package natlab

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	play()
	os.Exit(m.Run())
}

// need skips a test where no lab can run.
func need(t testing.TB) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
}

// newLab makes a lab that ends with the test.
func newLab(t testing.TB, cfg Config) *Lab {
	t.Helper()
	need(t)
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newHost(t testing.TB, l *Lab, cfg HostConfig) *Host {
	t.Helper()
	h, err := l.Host(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newBox(t testing.TB, l *Lab, cfg NAT) *Box {
	t.Helper()
	b, err := l.NAT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const patience = 30 * time.Second // what a loaded machine is given

// connected gives both ends of a TCP connection from client to server.
func connected(t testing.TB, client, server *Host) (from, to net.Conn) {
	t.Helper()
	ln, err := server.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	address := netip.AddrPortFrom(server.Addr(), ln.Addr().(*net.TCPAddr).AddrPort().Port())
	if from, err = client.Dial(ctx, nil, "tcp", address.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	if to, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return from, to
}

// echoUDP has the host answer every datagram to address with the address that
// it came from.
func echoUDP(t testing.TB, h *Host, address string) {
	t.Helper()
	conn, err := h.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { conn.Close(); group.Wait() })
	group.Go(func() {
		b := make([]byte, maxPacket)
		for {
			_, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			conn.WriteTo([]byte(from.String()), from)
		}
	})
}
