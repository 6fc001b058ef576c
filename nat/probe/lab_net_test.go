package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// labTime is after how long a test in the lab gives up, on a loaded machine too.
const labTime = time.Minute

// net20 is an internet with 20 ms on every access link, four STUN servers on
// it, of which two have two addresses, and whatever a test adds.
type net20 struct {
	*natlab.Lab
	servers []string

	mu   sync.Mutex
	sent map[netip.Addr]*[2]int // packets by external source: over UDP, over TCP
}

func newNet20(t *testing.T) *net20 {
	t.Helper()
	lab := natlabtest.New(t, natlab.Config{Seed: 7})
	n := &net20{Lab: lab, sent: map[netip.Addr]*[2]int{}}
	for i := range 4 {
		h, err := lab.Host(natlab.HostConfig{Addresses: 2, Delay: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		cfg := ServerConfig{Primary: netip.AddrPortFrom(h.Addr(), 3478), OnePort: true}
		if i < 2 {
			cfg.Alternate, cfg.OnePort = netip.AddrPortFrom(h.Addrs()[1], 3479), false
		}
		startOn(t, h, cfg)
		n.servers = append(n.servers, cfg.Primary.String())
	}
	stop := lab.Watch(func(p natlab.Packet) {
		n.mu.Lock()
		defer n.mu.Unlock()
		c := n.sent[p.Src.Addr()]
		if c == nil {
			c = new([2]int)
			n.sent[p.Src.Addr()] = c
		}
		switch p.Proto {
		case 17:
			c[0]++
		case 6:
			c[1]++
		}
	})
	t.Cleanup(stop)
	return n
}

// startOn runs a server on a host of a lab, in a process of its own.
func startOn(t *testing.T, h *natlab.Host, cfg ServerConfig) {
	t.Helper()
	raw, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := h.Command(context.Background(), os.Args[0])
	c.Env = append(os.Environ(), playServer+"="+string(raw))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("a STUN server says %q, %v", line, err)
	}
}

// packets gives how many packets came from an external address.
func (n *net20) packets(from netip.Addr) (udp, tcp int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.sent[from]; c != nil {
		return c[0], c[1]
	}
	return 0, 0
}

// client adds a host behind boxes, the innermost first.
func (n *net20) client(t *testing.T, boxes ...natlab.NAT) *natlab.Host {
	t.Helper()
	cfg := natlab.HostConfig{}
	if len(boxes) == 0 {
		cfg.Delay = 20 * time.Millisecond
	}
	var above *natlab.Box
	for i := len(boxes) - 1; i >= 0; i-- {
		box := boxes[i]
		box.Behind = above
		if above == nil {
			box.Delay = 20 * time.Millisecond
		}
		b, err := n.NAT(box)
		if err != nil {
			t.Fatal(err)
		}
		above = b
	}
	cfg.Behind = above
	h, err := n.Host(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// probe runs a probe on h.
func (n *net20) probe(t *testing.T, h *natlab.Host, cfg Config) outcome {
	t.Helper()
	if cfg.Servers == nil {
		cfg.Servers = n.servers
	}
	if cfg.TCPServers == nil {
		cfg.TCPServers = n.servers
	}
	raw, err := json.Marshal(struct {
		Servers, TCPServers []string
		WarmPort            uint16
	}{cfg.Servers, cfg.TCPServers, cfg.WarmPort})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), labTime)
	defer cancel()
	c := h.Command(ctx, os.Args[0])
	c.Env = append(os.Environ(), playProbe+"="+string(raw))
	var errs strings.Builder
	c.Stderr = &errs
	b, err := c.Output()
	if err != nil {
		t.Fatalf("probe: %v\n%s", err, errs.String())
	}
	var out outcome
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return out
}
