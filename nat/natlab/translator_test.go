package natlab

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

func newTestNAT(t *testing.T, cfg NAT) *translator {
	t.Helper()
	cfg, err := cfg.filled()
	if err != nil {
		t.Fatal(err)
	}
	externals := []netip.Addr{external}
	for i := 1; i < cfg.Externals; i++ {
		externals = append(externals, externals[i-1].Next())
	}
	return newTranslator(cfg, externals, rand.New(rand.NewPCG(5, 6)))
}

// out sends p from inside and gives the source that the outside sees.
func out(t *testing.T, n *translator, now time.Duration, p packet) netip.AddrPort {
	t.Helper()
	if v := n.outbound(now, &p); !v.pass {
		t.Fatalf("outbound %v > %v: %s", p.src, p.dst, v.why)
	}
	if !p.isError() {
		sound(t, p)
	}
	return p.src
}

// in reports whether p gets in, and checks that it is for inner.
func in(t *testing.T, n *translator, now time.Duration, p packet, inner netip.AddrPort) bool {
	t.Helper()
	v := n.inbound(now, &p)
	if v.pass {
		sound(t, p)
		if p.dst != inner {
			t.Errorf("inbound for %v, want %v", p.dst, inner)
		}
	}
	return v.pass
}

var behaviors = []nat.Behavior{nat.EndpointIndependent, nat.AddressDependent, nat.AddressAndPortDependent}

// Which destinations share a mapping, and which strangers get in.
func TestBehaviors(t *testing.T) {
	sharedPort := map[nat.Behavior]bool{nat.EndpointIndependent: true, nat.AddressDependent: true}
	sharedAddr := map[nat.Behavior]bool{nat.EndpointIndependent: true}
	for _, proto := range []string{"tcp", "udp"} {
		make1 := func(src, dst netip.AddrPort) packet {
			if proto == "tcp" {
				return tcp(src, dst, flagSYN)
			}
			return udp(src, dst)
		}
		for _, mapping := range behaviors {
			for _, filtering := range behaviors {
				t.Run(fmt.Sprintf("%s/%v/%v", proto, mapping, filtering), func(t *testing.T) {
					n := newTestNAT(t, NAT{Mapping: mapping, Filtering: filtering})
					seen := out(t, n, 0, make1(inside1, outside1))
					if !in(t, n, 0, make1(outside1, seen), inside1) {
						t.Error("no answer from the one that was asked")
					}
					if got := in(t, n, 0, make1(outside2, seen), inside1); got != sharedPort[filtering] {
						t.Errorf("another port gets in: %v", got)
					}
					if got := in(t, n, 0, make1(outside3, seen), inside1); got != sharedAddr[filtering] {
						t.Errorf("another address gets in: %v", got)
					}
					n = newTestNAT(t, NAT{Mapping: mapping, Filtering: filtering})
					seen = out(t, n, 0, make1(inside1, outside1))
					if got := out(t, n, 0, make1(inside1, outside2)) == seen; got != sharedPort[mapping] {
						t.Errorf("another port shares the mapping: %v", got)
					}
					if got := out(t, n, 0, make1(inside1, outside3)) == seen; got != sharedAddr[mapping] {
						t.Errorf("another address shares the mapping: %v", got)
					}
				})
			}
		}
	}
}

// A stranger let in by a symmetric NAT with an open filter is answered through
// the mapping that it came in by.
func TestAnswerToStranger(t *testing.T) {
	n := newTestNAT(t, NAT{Mapping: nat.AddressAndPortDependent, Filtering: nat.EndpointIndependent})
	seen := out(t, n, 0, tcp(inside1, outside1, flagSYN))
	if !in(t, n, 0, tcp(outside3, seen, flagSYN), inside1) {
		t.Fatal("stranger kept out")
	}
	if got := out(t, n, 0, tcp(inside1, outside3, flagSYN|flagACK)); got != seen {
		t.Errorf("answered from %v, want %v", got, seen)
	}
}

func TestSegmentWithoutSession(t *testing.T) {
	n := newTestNAT(t, NAT{})
	p := tcp(inside1, outside1, flagACK)
	if n.outbound(0, &p).pass {
		t.Error("an ACK made a mapping")
	}
	if v := n.inbound(0, &p); v.pass || !v.refuse {
		t.Errorf("unsolicited: %+v", v)
	}
}

func TestSimultaneousOpen(t *testing.T) {
	for _, refused := range []bool{false, true} {
		n := newTestNAT(t, NAT{NoSimultaneousOpen: refused})
		seen := out(t, n, 0, tcp(inside1, outside1, flagSYN))
		if got := in(t, n, 0, tcp(outside1, seen, flagSYN), inside1); got == refused {
			t.Errorf("NoSimultaneousOpen %v: SYN on a pending one gets in: %v", refused, got)
		}
		if !in(t, n, 0, tcp(outside1, seen, flagSYN|flagACK), inside1) {
			t.Errorf("NoSimultaneousOpen %v: SYN-ACK kept out", refused)
		}
	}
}

func TestEnd(t *testing.T) {
	fin := uint8(flagFIN | flagACK)
	symmetric := NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}}
	tests := []struct {
		name     string
		rst, fin bool
		flags    []int // of packets after the handshake; negative: inbound
		ended    bool
	}{
		{"rst in, kept", false, false, []int{-flagRST}, false},
		{"rst in", true, false, []int{-flagRST}, true},
		{"rst out", true, false, []int{flagRST}, true},
		{"fin both, kept", true, false, []int{int(fin), -int(fin), flagACK}, false},
		{"fin both", false, true, []int{int(fin), -int(fin), flagACK}, true},
		{"fin both, no ack yet", false, true, []int{int(fin), -int(fin)}, false},
		{"fin one side", false, true, []int{int(fin), -flagACK}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := symmetric
			cfg.EndOnRST, cfg.EndOnFIN = tt.rst, tt.fin
			n := newTestNAT(t, cfg)
			seen := out(t, n, 0, tcp(inside1, outside1, flagSYN))
			in(t, n, 0, tcp(outside1, seen, flagSYN|flagACK), inside1)
			out(t, n, 0, tcp(inside1, outside1, flagACK))
			for _, f := range tt.flags {
				if f < 0 {
					if !in(t, n, 0, tcp(outside1, seen, uint8(-f)), inside1) {
						t.Fatalf("flags %d kept out", -f)
					}
				} else {
					out(t, n, 0, tcp(inside1, outside1, uint8(f)))
				}
			}
			if in(t, n, 0, tcp(outside1, seen, flagSYN), inside1) == tt.ended {
				t.Errorf("filter open: %v", !tt.ended)
			}
			want := seen
			if tt.ended {
				want = netip.AddrPortFrom(seen.Addr(), seen.Port()+1)
			}
			if got := out(t, n, 0, tcp(inside1, outside1, flagSYN)); got != want {
				t.Errorf("next SYN from %v, want %v", got, want)
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	n := newTestNAT(t, NAT{UDPLifetime: 30 * time.Second, Mapping: nat.AddressDependent, Filtering: nat.AddressDependent, Ports: nat.Delta{Kind: nat.Random}})
	seen := out(t, n, 0, udp(inside1, outside1))
	at := 20 * time.Second
	if !in(t, n, at, udp(outside1, seen), inside1) {
		t.Fatal("closed after 20 s")
	}
	at = 31 * time.Second
	if in(t, n, at, udp(outside1, seen), inside1) || in(t, n, at, udp(outside2, seen), inside1) {
		t.Error("kept alive by an inbound packet")
	}
	if again := out(t, n, at, udp(inside1, outside1)); again == seen {
		t.Error("the same mapping after its end")
	}
	n = newTestNAT(t, NAT{})
	seen = out(t, n, 0, tcp(inside1, outside1, flagSYN))
	if in(t, n, 5*time.Minute, tcp(outside1, seen, flagSYN), inside1) {
		t.Error("a SYN without answer holds for 5 min")
	}
	seen = out(t, n, 0, tcp(inside1, outside1, flagSYN))
	in(t, n, 0, tcp(outside1, seen, flagSYN|flagACK), inside1)
	if !in(t, n, 2*time.Hour, tcp(outside1, seen, flagACK), inside1) {
		t.Error("an established session ended within 2 h")
	}
}

func TestSweep(t *testing.T) {
	n := newTestNAT(t, NAT{UDPLifetime: time.Second})
	for i := range 100 * minSweep {
		remote := netip.AddrPortFrom(outside1.Addr(), uint16(i%60000)+1)
		out(t, n, time.Duration(i)*time.Millisecond, udp(inside1, remote))
		if n.count > 3*minSweep {
			t.Fatalf("%d sessions, of which 1000 are alive", n.count)
		}
	}
}

func TestPooling(t *testing.T) {
	n := newTestNAT(t, NAT{Externals: 3})
	used := map[netip.Addr]bool{}
	for i := range 6 {
		inner := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 1, byte(10 + i)}), 4000)
		first := out(t, n, 0, udp(inner, outside1))
		second := out(t, n, 0, udp(netip.AddrPortFrom(inner.Addr(), 4001), outside1))
		if first.Addr() != second.Addr() || first.Addr() != n.external(inner.Addr()) {
			t.Errorf("%v is not paired: %v, %v", inner, first, second)
		}
		used[first.Addr()] = true
	}
	if len(used) != 3 {
		t.Errorf("%d addresses of 3 used", len(used))
	}
	n = newTestNAT(t, NAT{Externals: 3, Arbitrary: true})
	clear(used)
	for i := range 30 {
		used[out(t, n, 0, udp(netip.AddrPortFrom(inside1.Addr(), uint16(4000+i)), outside1)).Addr()] = true
	}
	if len(used) != 3 {
		t.Errorf("arbitrary: %d addresses of 3 used", len(used))
	}
}

func TestErrorTranslation(t *testing.T) {
	router := netip.MustParseAddr("53.10.1.1")
	n := newTestNAT(t, NAT{Ports: nat.Delta{Kind: nat.Random}})
	p := tcp(inside1, outside1, flagSYN)
	original := p.clone()
	if !n.outbound(0, &p).pass {
		t.Fatal("outbound")
	}
	e, _ := p.expired(router)
	if v := n.inbound(0, &e); !v.pass {
		t.Fatal(v.why)
	}
	sound(t, e)
	q, ok := e.quoted()
	if !ok || e.dst.Addr() != inside1.Addr() || string(q.b) != string(original.b) {
		t.Errorf("to %v, quoting %v > %v", e.dst, q.src, q.dst)
	}
	stranger := tcp(netip.AddrPortFrom(external, 9), outside1, flagSYN)
	e, _ = stranger.expired(router)
	if n.inbound(0, &e).pass {
		t.Error("an error about somebody else's packet got in")
	}

	u := udp(inside1, outside1)
	seen := out(t, n, 0, u)
	answer := udp(outside1, seen, 1, 2, 3)
	original = answer.clone()
	if !n.inbound(0, &answer).pass {
		t.Fatal("inbound")
	}
	e, _ = answer.failure(unreachable, noPort, inside1.Addr())
	if v := n.outbound(0, &e); !v.pass {
		t.Fatal(v.why)
	}
	sound(t, e)
	if q, ok := e.quoted(); !ok || e.src.Addr() != external || string(q.b) != string(original.b) {
		t.Errorf("from %v, quoting %v > %v", e.src, q.src, q.dst)
	}
}

func TestFirewall(t *testing.T) {
	n := newTestNAT(t, NAT{Firewall: true})
	if seen := out(t, n, 0, tcp(inside1, outside1, flagSYN)); seen != inside1 {
		t.Errorf("translated to %v", seen)
	}
	if !in(t, n, 0, tcp(outside1, inside1, flagSYN|flagACK), inside1) {
		t.Error("answer kept out")
	}
	if in(t, n, 0, tcp(outside3, inside1, flagSYN), inside1) {
		t.Error("stranger let in")
	}
}

func TestPing(t *testing.T) {
	n := newTestNAT(t, NAT{Ports: nat.Delta{Kind: nat.Random}})
	p := ping(inside1.Addr(), outside1.Addr(), echoRequest, 77)
	seen := out(t, n, 0, p)
	if seen.Port() == 77 || seen.Addr() != external {
		t.Errorf("id and address seen: %v", seen)
	}
	reply := ping(outside1.Addr(), external, echoReply, seen.Port())
	if !in(t, n, 0, reply, netip.AddrPortFrom(inside1.Addr(), 77)) {
		t.Error("answer kept out")
	}
}

func TestPermits(t *testing.T) {
	n := newTestNAT(t, NAT{UDPBlocked: true, OnlyTCPPorts: []uint16{443}})
	for _, tt := range []struct {
		name string
		p    packet
		pass bool
	}{
		{"udp", udp(inside1, outside1), false},
		{"tcp 3478", tcp(inside1, outside1, flagSYN), false},
		{"tcp 443", tcp(inside1, netip.AddrPortFrom(outside1.Addr(), 443), flagSYN), true},
	} {
		if got := n.outbound(0, &tt.p).pass; got != tt.pass {
			t.Errorf("%s passes: %v", tt.name, got)
		}
	}
	fragmented := udp(inside1, outside1).b
	fragmented[6] = 0x20
	if p, ok := parse(fragmented); !ok || newTestNAT(t, NAT{}).outbound(0, &p).pass {
		t.Error("a fragment passes")
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []NAT{
		{Ports: nat.Delta{Kind: nat.Independent}},
		{Ports: nat.Delta{Kind: nat.Equal, Value: 1}},
		{Ports: nat.Delta{Kind: nat.NotApplicable}},
		{Mapping: 9}, {Filtering: 9}, {Refuse: 99}, {Externals: -1}, {Externals: 201},
		{Range: [2]uint16{5, 4}}, {Range: [2]uint16{0, 4}}, {Loss: 1.1}, {Delay: -1}, {Jitter: -1},
		{Foreign: -1}, {UDPLifetime: -1}, {TCPLifetime: -1},
		{LAN: netip.MustParsePrefix("10.0.0.0/8")}, {LAN: netip.MustParsePrefix("10.0.0.1/24")}, {LAN: netip.MustParsePrefix("fd00::/64")},
		{Kernel: true, Hairpin: true}, {Kernel: true, Ports: nat.Delta{Kind: nat.Preserving}}, {Kernel: true, Mapping: nat.EndpointIndependent},
	} {
		if _, err := c.filled(); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestTyped(t *testing.T) {
	for typ := nat.SymmetricFirewall; typ < nat.Blocked; typ++ {
		n := newTestNAT(t, Typed(typ))
		seen := out(t, n, 0, udp(inside1, outside1))
		open := in(t, n, 0, udp(outside3, seen), inside1)
		samePort := in(t, n, 0, udp(outside2, seen), inside1)
		sameMapping := out(t, n, 0, udp(inside1, outside3)) == seen
		got := nat.PortRestricted
		switch {
		case seen == inside1:
			got = nat.SymmetricFirewall
		case !sameMapping:
			got = nat.Symmetric
		case open:
			got = nat.FullCone
		case samePort:
			got = nat.Restricted
		}
		if got != typ {
			t.Errorf("%v behaves as %v", typ, got)
		}
	}
}
