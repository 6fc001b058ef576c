package probe

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// soon is when a first report is due where the round trip is 80 ms: after
// three of them and one silence, and what a busy machine adds.
const soon = 3*80*time.Millisecond + leastWait + 60*time.Millisecond

// TestLabFirstReportIsSoon takes the best of a few probes, since other work on
// the machine makes the network slow.
func TestLabFirstReportIsSoon(t *testing.T) {
	n := newNet20(t)
	for name, box := range map[string]natlab.NAT{
		"port restricted":  {},
		"symmetric random": natlab.Typed(nat.Symmetric),
		"udp blocked":      {UDPBlocked: true},
		"tcp blocked":      {OnlyTCPPorts: []uint16{443}},
	} {
		t.Run(name, func(t *testing.T) {
			machinetest.Calmly(t, func() string {
				var tries []time.Duration
				for len(tries) < 8 {
					r := n.probe(t, n.client(t, box), Config{}).Reports[0]
					if r.Took <= soon {
						if want := nat.PortRestricted; box.Mapping == 0 && r.Type != want || box.Mapping != 0 && r.Type != nat.Symmetric {
							t.Errorf("first report: %v", r.Type)
						}
						t.Logf("after %v", r.Took)
						return ""
					}
					tries = append(tries, r.Took)
				}
				return fmt.Sprintf("first reports came after %v, want %v", tries, soon)
			})
		})
	}
}

// TestLabEveryNAT is one NAT of each kind.
func TestLabEveryNAT(t *testing.T) {
	t.Parallel()
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
			t.Parallel()
			oneSided := strings.Contains(c.name, "blocked")
			machinetest.Calmly(t, func() string {
				var h *natlab.Host
				var out outcome
				var r nat.Report
				// A busy machine loses answers, and the probe is honestly unsure.
				for tries := 0; tries == 0 || !r.Sure() && !oneSided && tries < 4; tries++ {
					h = n.client(t, c.boxes...)
					out = n.probe(t, h, Config{WarmPort: 20001})
					r = out.Reports[len(out.Reports)-1]
				}
				var wrong []string
				errorf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
				if r.Type != c.want || r.Delta != c.delta || r.TCP.Mapping != c.tcp {
					errorf("got %v, %v, tcp mapping %v; want %v, %v, %v\nudp %+v\ntcp %+v", r.Type, r.Delta, r.TCP.Mapping, c.want, c.delta, c.tcp, r.UDP, r.TCP)
				}
				if wantSure := c.name != "tcp blocked"; r.Sure() != wantSure {
					errorf("sure: %v (%.2f, %.2f)", r.Sure(), r.Confidence, r.TCP.Confidence)
				}
				if (c.want == nat.Blocked) != (out.Error != "") {
					errorf("error %q", out.Error)
				}
				if want := c.tcp == nat.EndpointIndependent && r.TCP.Answered > 0; r.Warm.IsValid() != want {
					errorf("warm port at %v", r.Warm)
				}
				if c.want != nat.Blocked && r.External != h.External() && !strings.Contains(c.name, "externals") {
					errorf("external %v, want %v", r.External, h.External())
				}
				if udp, tcp := n.packets(h.External()); udp > mostPackets || tcp > mostPackets {
					errorf("%d packets over UDP, %d over TCP: want at most %d", udp, tcp, mostPackets)
				} else {
					t.Logf("%v, %v: first report after %v, all after %v, %d and %d packets", r.Type, r.Delta, out.Reports[0].Took, out.Took, udp, tcp)
				}
				if first := out.Reports[0]; first.Took <= soon && first.Type != c.want {
					errorf("first report: %v, want %v", first.Type, c.want)
				}
				if out.Took > longest+200*time.Millisecond {
					errorf("took %v", out.Took)
				}
				return strings.Join(wrong, "\n")
			})
		})
	}
}

// TestLabPredictionsComeTrue maps a port by Map, predicts the next, and looks.
func TestLabPredictionsComeTrue(t *testing.T) {
	t.Parallel()
	n := newNet20(t)
	for _, d := range []nat.Delta{
		{Kind: nat.Equal}, {Kind: nat.Preserving}, {Kind: nat.Independent, Value: 1},
		{Kind: nat.Independent, Value: -3}, {Kind: nat.Dependent, Value: 2},
	} {
		t.Run(d.String(), func(t *testing.T) {
			h := n.client(t, natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: d, EndOnRST: true})
			c := h.Command(t.Context(), os.Args[0])
			c.Env = append(os.Environ(), playMap+"="+strings.Join(n.servers, ","))
			b, err := c.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			var seen []nat.Mapping
			if err := json.Unmarshal(b, &seen); err != nil || len(seen) != 2 {
				t.Fatalf("%v in %q", err, b)
			}
			got := nat.Predict(nat.Basis{Type: nat.Symmetric, Delta: d, Last: seen[0], Local: seen[1].Local.Port()})
			if len(got) == 0 || got[0].Port != seen[1].External.Port() {
				t.Errorf("after %v at %v came %v at %v, predicted %v", seen[0].Local, seen[0].External, seen[1].Local, seen[1].External, got)
			}
			for _, m := range seen {
				if m.RTT < 80*time.Millisecond || m.RTT > labTime {
					t.Errorf("round trip of %v, want 80 ms or a little more", m.RTT)
				}
			}
		})
	}
}
