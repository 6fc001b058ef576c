package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// labTime is after how long a test in the lab gives up.
const labTime = 30 * time.Second

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
	if err := natlab.Available(); err != nil {
		t.Skip(err)
	}
	lab, err := natlab.New(natlab.Config{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
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
		if err := h.Do(func() error {
			s, err := NewServer(cfg)
			if err == nil {
				t.Cleanup(func() { _ = s.Close() })
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
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

// brief prints samples as local>external@server +ms.
func brief(ms []nat.Mapping) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "%d>%d@%v +%.1f ", m.Local.Port(), m.External.Port(), m.Server, float64(m.Sent.Sub(ms[0].Sent))/1e6)
	}
	return b.String()
}

// TestLabRandomNATs draws NATs, and a path with jitter and loss to go with
// them. Of a hundred, three may leave the probe unsure, and none may make it
// sure of something wrong.
func TestLabRandomNATs(t *testing.T) {
	count := 16
	if s := os.Getenv("SALLYPORT_TEST_NATS"); s != "" {
		var err error
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	n := newNet20(t)
	behaviors := []nat.Behavior{nat.EndpointIndependent, nat.AddressDependent, nat.AddressAndPortDependent}
	var mu sync.Mutex
	var unsure []string
	t.Run("nats", func(t *testing.T) {
		for i := range count {
			rng := rand.New(rand.NewPCG(uint64(i), 99))
			box := natlab.NAT{
				Mapping: behaviors[rng.IntN(3)], Filtering: behaviors[rng.IntN(3)],
				Ports:    nat.Delta{Kind: nat.Equal + nat.DeltaKind(rng.IntN(5))},
				Refuse:   natlab.Refusal(rng.IntN(4)),
				EndOnRST: rng.IntN(2) == 0, EndOnFIN: rng.IntN(2) == 0,
				Jitter: time.Duration(rng.IntN(2)) * 5 * time.Millisecond,
			}
			if k := box.Ports.Kind; k == nat.Independent || k == nat.Dependent {
				box.Ports.Value = 1 + rng.IntN(10)
				if rng.IntN(2) == 0 {
					box.Ports.Value *= -1
				}
				box.Foreign = float64(rng.IntN(2) * 10)
			}
			if k := box.Ports.Kind; k != nat.Equal && rng.IntN(3) == 0 {
				lo := 2000 + rng.IntN(30000)
				box.Range = [2]uint16{uint16(lo), uint16(lo + 1999 + rng.IntN(20000))}
			}
			name := fmt.Sprintf("%d %v, %v, %v", i, box.Mapping, box.Filtering, box.Ports)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out := n.probe(t, n.client(t, box), Config{})
				r := out.Reports[len(out.Reports)-1]
				want := nat.Symmetric
				if box.Mapping == nat.EndpointIndependent {
					want = map[nat.Behavior]nat.Type{
						nat.EndpointIndependent: nat.FullCone, nat.AddressDependent: nat.Restricted,
						nat.AddressAndPortDependent: nat.PortRestricted,
					}[box.Filtering]
				}
				if !r.Sure() {
					mu.Lock()
					unsure = append(unsure, name)
					mu.Unlock()
					t.Logf("%v (%.2f), %v (%.2f), filter %v\ntcp %s", r.Type, r.Confidence, r.Delta, r.TCP.Confidence, r.UDP.Filtering, brief(r.TCP.Samples))
					return
				}
				if r.Type != want || r.Delta != box.Ports || r.TCP.Mapping != box.Mapping || r.UDP.Filtering != box.Filtering {
					t.Errorf("%+v: got %v, %v, %v, %v\nudp %s\ntcp %s", box, r.Type, r.Delta, r.TCP.Mapping, r.UDP.Filtering, brief(r.UDP.Samples), brief(r.TCP.Samples))
				}
			})
		}
	})
	if len(unsure) > max(1, 3*count/100) {
		t.Errorf("unsure of %d out of %d: %q", len(unsure), count, unsure)
	}
	t.Logf("unsure of %d out of %d: %q", len(unsure), count, unsure)
}

func TestLabEveryNAT(t *testing.T) {
	n := newNet20(t)
	na := nat.Delta{Kind: nat.NotApplicable}
	ports := func(k nat.DeltaKind, v int) natlab.NAT {
		return natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: k, Value: v}}
	}
	for _, c := range []struct {
		name  string
		boxes []natlab.NAT
		want  nat.Type
		delta nat.Delta
		tcp   nat.Behavior // mapping
	}{
		{"open", nil, nat.Open, na, nat.EndpointIndependent},
		{"firewall", []natlab.NAT{{Firewall: true}}, nat.SymmetricFirewall, na, nat.EndpointIndependent},
		{"full cone", []natlab.NAT{{Filtering: nat.EndpointIndependent}}, nat.FullCone, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"restricted", []natlab.NAT{{Filtering: nat.AddressDependent}}, nat.Restricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"port restricted", []natlab.NAT{{}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"port restricted that sends RST", []natlab.NAT{{Refuse: natlab.RST, EndOnRST: true}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"port restricted that sends ICMP", []natlab.NAT{{Refuse: natlab.PortICMP}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"port restricted preserving", []natlab.NAT{{Ports: nat.Delta{Kind: nat.Preserving}}}, nat.PortRestricted, nat.Delta{Kind: nat.Preserving}, nat.EndpointIndependent},
		{"full cone +1", []natlab.NAT{{Filtering: nat.EndpointIndependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}}}, nat.FullCone, nat.Delta{Kind: nat.Independent, Value: 1}, nat.EndpointIndependent},
		{"port restricted dependent", []natlab.NAT{{Ports: nat.Delta{Kind: nat.Dependent, Value: 3}}}, nat.PortRestricted, nat.Delta{Kind: nat.Dependent, Value: 3}, nat.EndpointIndependent},
		{"port restricted random", []natlab.NAT{{Ports: nat.Delta{Kind: nat.Random}}}, nat.PortRestricted, nat.Delta{Kind: nat.Random}, nat.EndpointIndependent},
		{"symmetric equal", []natlab.NAT{ports(nat.Equal, 0)}, nat.Symmetric, nat.Delta{Kind: nat.Equal}, nat.AddressAndPortDependent},
		{"symmetric preserving", []natlab.NAT{ports(nat.Preserving, 0)}, nat.Symmetric, nat.Delta{Kind: nat.Preserving}, nat.AddressAndPortDependent},
		{"symmetric +1", []natlab.NAT{ports(nat.Independent, 1)}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: 1}, nat.AddressAndPortDependent},
		{"symmetric +2", []natlab.NAT{ports(nat.Independent, 2)}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: 2}, nat.AddressAndPortDependent},
		{"symmetric -1", []natlab.NAT{ports(nat.Independent, -1)}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: -1}, nat.AddressAndPortDependent},
		{"symmetric dependent", []natlab.NAT{ports(nat.Dependent, 1)}, nat.Symmetric, nat.Delta{Kind: nat.Dependent, Value: 1}, nat.AddressAndPortDependent},
		{"symmetric random", []natlab.NAT{ports(nat.Random, 0)}, nat.Symmetric, nat.Delta{Kind: nat.Random}, nat.AddressAndPortDependent},
		{"symmetric by address +1", []natlab.NAT{{Mapping: nat.AddressDependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}}}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: 1}, nat.AddressDependent},
		{"symmetric +1 in company", []natlab.NAT{{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}, Foreign: 20}}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: 1}, nat.AddressAndPortDependent},
		{"symmetric +1 in a small range", []natlab.NAT{{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}, Range: [2]uint16{20000, 20299}}}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: 1}, nat.AddressAndPortDependent},
		{"several externals", []natlab.NAT{{Externals: 3, Arbitrary: true}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"udp blocked", []natlab.NAT{{UDPBlocked: true}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"tcp blocked", []natlab.NAT{{Filtering: nat.AddressDependent, OnlyTCPPorts: []uint16{443}}}, nat.Restricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"all blocked", []natlab.NAT{natlab.Typed(nat.Blocked)}, nat.Blocked, na, nat.BehaviorUnknown},
		{"carrier NAT", []natlab.NAT{{}, {Filtering: nat.EndpointIndependent}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
		{"symmetric carrier NAT", []natlab.NAT{{}, ports(nat.Independent, 1)}, nat.Symmetric, nat.Delta{Kind: nat.Independent, Value: 1}, nat.AddressAndPortDependent},
		{"linux masquerade", []natlab.NAT{{Kernel: true}}, nat.PortRestricted, nat.Delta{Kind: nat.Equal}, nat.EndpointIndependent},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := n.client(t, c.boxes...)
			out := n.probe(t, h, Config{WarmPort: 20001})
			r := out.Reports[len(out.Reports)-1]
			if r.Type != c.want || r.Delta != c.delta || r.TCP.Mapping != c.tcp {
				t.Errorf("got %v, %v, tcp mapping %v; want %v, %v, %v\nudp %+v\ntcp %+v", r.Type, r.Delta, r.TCP.Mapping, c.want, c.delta, c.tcp, r.UDP, r.TCP)
			}
			oneSided := strings.Contains(c.name, "blocked")
			if wantSure := !oneSided || c.want == nat.Blocked; r.Sure() != wantSure {
				t.Errorf("sure: %v (%.2f, %.2f)", r.Sure(), r.Confidence, r.TCP.Confidence)
			}
			if (c.want == nat.Blocked) != (out.Error != "") {
				t.Errorf("error %q", out.Error)
			}
			if want := c.tcp == nat.EndpointIndependent && r.TCP.Answered > 0; r.Warm.IsValid() != want {
				t.Errorf("warm port at %v", r.Warm)
			}
			if c.want != nat.Blocked && r.External != h.External() && !strings.Contains(c.name, "externals") {
				t.Errorf("external %v, want %v", r.External, h.External())
			}
			if udp, tcp := n.packets(h.External()); udp > mostPackets || tcp > mostPackets {
				t.Errorf("%d packets over UDP, %d over TCP: want at most %d", udp, tcp, mostPackets)
			} else {
				t.Logf("%v, %v: first report after %v, all after %v, %d and %d packets", r.Type, r.Delta, out.Reports[0].Took, out.Took, udp, tcp)
			}
			first := out.Reports[0]
			const rtt = 80 * time.Millisecond
			if bound := 3*rtt + silence(rtt) + 60*time.Millisecond; c.want != nat.Blocked && first.Took > bound {
				t.Errorf("first report after %v: want 3 round trips and one silence, %v", first.Took, bound)
			}
			if first.Type != c.want {
				t.Errorf("first report: %v, want %v", first.Type, c.want)
			}
			if out.Took > longest+200*time.Millisecond {
				t.Errorf("took %v", out.Took)
			}
		})
	}
}
