package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

func TestWarmPortHeldByAnotherProgram(t *testing.T) {
	other, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	port := uint16(other.Addr().(*net.TCPAddr).Port)
	_, err = New(t.Context(), Config{Port: port})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("port %d: %v", port, err)
	}
	w, err := openWarm(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if w.port == port {
		t.Errorf("any port is %d, which is held", port)
	}
}

// A port on which nobody listens may still be a node's, which is about to.
func TestWarmPortLockedByAnotherNode(t *testing.T) {
	w, err := openWarm(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openWarm(t.Context(), w.port); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("port %d: %v", w.port, err)
	}
	if err := w.lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openWarm(t.Context(), w.port)
	if err != nil {
		t.Fatalf("the lock was given back: %v", err)
	}
	_ = again.close()
}

func TestWarmPortsAreNeverShared(t *testing.T) {
	const nodes = 50
	ports := make([]uint16, nodes)
	var all sync.WaitGroup
	for k := range nodes {
		all.Go(func() {
			w, err := openWarm(context.Background(), 0)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = w.close() })
			ports[k] = w.port
		})
	}
	all.Wait()
	seen := map[uint16]bool{}
	for _, p := range ports {
		if seen[p] {
			t.Errorf("port %d was given out twice", p)
		}
		seen[p] = true
	}
}

// Where the warm port's four-tuple to a broker is held, another port must do.
func TestWarmDialFallsBack(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	w, err := openWarm(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	port := func(c net.Conn) uint16 { return uint16(c.LocalAddr().(*net.TCPAddr).Port) }
	first, err := w.DialContext(t.Context(), "tcp", broker.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := w.DialContext(t.Context(), "tcp", broker.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if port(first) != w.port || port(second) == w.port {
		t.Errorf("dialled from %d and %d, the warm port is %d", port(first), port(second), w.port)
	}
}

func TestDialledEndsWhatHangsOnAnOldMapping(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.TCPConn)
	}
	here := netip.MustParseAddr("127.0.0.1")
	var d dialled
	old, gone := dial(), dial()
	d.add(gone)
	_ = gone.Close()
	d.add(old)
	if len(d.conns) != 1 {
		t.Errorf("%d connections are remembered, one of which is closed", len(d.conns))
	}
	d.dropOlder(here)
	if closed(old) {
		t.Error("closed before any mapping was confirmed")
	}
	d.confirm(here)
	young := dial()
	d.add(young)
	d.dropOlder(netip.MustParseAddr("127.0.0.2"))
	d.dropGone()
	if closed(old) || closed(young) {
		t.Error("closed for another address")
	}
	d.dropOlder(here)
	if !closed(old) || closed(young) {
		t.Errorf("old closed: %v, young closed: %v", closed(old), closed(young))
	}
}

func TestMoved(t *testing.T) {
	at := netip.MustParseAddrPort
	known := func(change ...func(*nat.Report)) nat.Report {
		r := nat.Report{
			External: at("52.0.0.1:0").Addr(), Externals: []netip.Addr{at("52.0.0.1:0").Addr()},
			Warm: at("52.0.0.1:4000"), Type: nat.PortRestricted,
		}
		for _, f := range change {
			f(&r)
		}
		return r
	}
	symmetric := func(r *nat.Report) { r.Type = nat.Symmetric }
	pool := func(r *nat.Report) { r.Externals = append(r.Externals, at("52.0.0.2:0").Addr()) }
	for _, c := range []struct {
		name  string
		known nat.Report
		seen  string
		want  bool
	}{
		{"same", known(), "52.0.0.1:4000", false},
		{"other port", known(), "52.0.0.1:4001", true},
		{"other address", known(), "52.0.0.9:4000", true},
		{"other port of a symmetric NAT", known(symmetric), "52.0.0.1:4001", false},
		{"other address of a symmetric NAT", known(symmetric), "52.0.0.9:4001", true},
		{"other of several addresses", known(pool), "52.0.0.2:4000", true},
		{"other of a symmetric NAT's several addresses", known(symmetric, pool), "52.0.0.2:5000", false},
		{"none of a symmetric NAT's several addresses", known(symmetric, pool), "52.0.0.3:4000", true},
		{"nothing known", nat.Report{}, "52.0.0.3:4000", true},
	} {
		if got := moved(c.known, at(c.seen)); got != c.want {
			t.Errorf("%s: moved %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSurroundingsMove(t *testing.T) {
	p := func(a string) place { return place{name: "eth0", addr: netip.MustParseAddr(a)} }
	one, two, three := p("192.168.1.1"), p("192.168.1.2"), p("192.168.1.3")
	s := newSurroundings([]place{one, two})
	s.put(one.addr, nat.Report{Took: time.Second})
	s.put(two.addr, nat.Report{Took: time.Second})
	s.put(three.addr, nat.Report{Took: time.Second})
	if s.report(three.addr).Took != 0 {
		t.Error("a report of a place that is none was kept")
	}
	if fresh, changed := s.move([]place{one, two}); changed || len(fresh) > 0 {
		t.Error("changed, where nothing has")
	}
	fresh, changed := s.move([]place{two, three})
	if !changed || len(fresh) != 1 || fresh[0] != three.addr {
		t.Errorf("changed %v, new %v", changed, fresh)
	}
	if s.report(one.addr).Took != 0 || s.report(two.addr).Took == 0 {
		t.Error("the reports of those that stay are kept, and no others")
	}
	if s.local(0) != two.addr || s.local(1) != three.addr || s.local(2).IsValid() || s.local(-1).IsValid() {
		t.Error("the indices are those of the new places")
	}
}
