package relay_test

import (
	"math/rand/v2"
	"net"
	"testing"

	"github.com/sallyport-net/sallyport/node/relay"
)

// After Stop what is relayed goes on, and nobody new gets in.
func TestStop(t *testing.T) {
	s, p := serve(t)
	_, near, far := through(t, p)
	s.Stop()
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("still listening")
	}
	carries(t, near, far)
	if n := s.Allocations(); n != 1 {
		t.Errorf("%d allocations", n)
	}
	if st := s.Stats(); st.Allocated != 1 || st.Allocations != 1 || st.Bytes < 2<<20 || st.Clients < 2 {
		t.Errorf("stats %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Clients != 0 || st.Allocations != 0 {
		t.Errorf("stats after Close %+v", st)
	}
}

// freePorts gives the first of n ports in a row that are free.
func freePorts(t *testing.T, n int) uint16 {
	t.Helper()
	const from, ports = 24000, 8000
	begin := rand.IntN(ports) // or two processes at once would find the same
next:
	for k := range ports / n {
		first := from + (begin+k*n)%(ports-n)
		for port := first; port < first+n; port++ {
			l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err != nil {
				continue next
			}
			l.Close()
		}
		return uint16(first)
	}
	t.Fatal("no free ports")
	return 0
}

// Allocations lie in the range, on each port once, and are refused when all
// are taken.
func TestPortRange(t *testing.T) {
	for tries := 1; ; tries++ {
		first := freePorts(t, 3)
		_, p := serve(t, func(c *relay.ServerConfig) { c.FirstPort, c.LastPort = first, first+2 })
		seen := map[uint16]bool{}
		var failed error
		for len(seen) < 3 && failed == nil {
			var a *relay.Allocation
			if a, failed = relay.Allocate(shortly(t), p, relay.Config{}); failed != nil {
				break
			}
			defer a.Close()
			port := a.Addr().Port()
			if port < first || port > first+2 || seen[port] {
				t.Fatalf("port %d, range from %d, before %v", port, first, seen)
			}
			seen[port] = true
		}
		if failed != nil && tries < 10 { // another process has taken one of them meanwhile
			t.Logf("of 3 ports from %d on, %d were granted: %v", first, len(seen), failed)
			continue
		}
		if failed != nil {
			t.Fatal(failed)
		}
		if _, err := relay.Allocate(shortly(t), p, relay.Config{}); err == nil {
			t.Error("a fourth one was granted")
		}
		break
	}
	for _, r := range [][2]uint16{{5, 4}, {0, 5}, {5, 0}} {
		if _, err := relay.NewServer(relay.ServerConfig{Listen: "127.0.0.1:0", Secret: "secret", FirstPort: r[0], LastPort: r[1]}); err == nil {
			t.Errorf("range %v was taken", r)
		}
	}
}
