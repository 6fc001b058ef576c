package relay

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pressed is a listener in a process that had no descriptor left for a while.
type pressed struct {
	net.Listener
	failures atomic.Int32 // that are still to come
}

func (p *pressed) Accept() (net.Conn, error) {
	if p.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return p.Listener.Accept()
}

// A want of descriptors passes, and must end neither the relay nor an endpoint.
func TestAcceptOutlivesAWantOfDescriptors(t *testing.T) {
	s, err := NewServer(ServerConfig{
		Listen: "127.0.0.1:0", Secret: "secret", AllowPrivate: true,
		Open: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			p := &pressed{Listener: l}
			p.failures.Store(3)
			return p, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for begun := time.Now(); s.Stats().Clients == 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("the relay takes nobody any more")
		}
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pressed{Listener: l}
	p.failures.Store(3)
	e := &endpoint{Listener: p, places: newPlaces(ServerConfig{}, s.Addr().Addr(), &s.counters), arrived: make(chan net.Conn), closed: make(chan struct{})}
	listening := make(chan struct{})
	go func() { defer close(listening); e.listen() }()
	defer func() { _ = e.Close(); <-listening }()
	d, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	taken, err := e.Accept()
	if err != nil {
		t.Fatalf("the endpoint takes nobody any more: %v", err)
	}
	_ = taken.Close()
}
