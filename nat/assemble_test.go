package nat

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

var (
	behaviors = []Behavior{EndpointIndependent, AddressDependent, AddressAndPortDependent}
	deltas    = []Delta{
		{Kind: Equal}, {Kind: Preserving}, {Independent, 1}, {Independent, 2}, {Independent, -1},
		{Independent, 7}, {Independent, -300}, {Dependent, 1}, {Dependent, 3}, {Dependent, -2}, {Kind: Random},
	}
)

func TestAssembleEveryNAT(t *testing.T) {
	for _, mapping := range behaviors {
		for _, filtering := range behaviors {
			for _, ports := range deltas {
				t.Run(fmt.Sprintf("%v/%v/%v", mapping, filtering, ports), func(t *testing.T) {
					t.Parallel()
					m := newModel(42, mapping, filtering, ports)
					r := Assemble(m.samples(5))
					if r.Type != m.wantType() || r.Delta != ports || !r.Sure() {
						t.Errorf("got %v, %v (%.2f, %.2f), want %v, %v", r.Type, r.Delta, r.Confidence, r.TCP.Confidence, m.wantType(), ports)
					}
					if r.TCP.Mapping != mapping || r.UDP.Mapping != mapping || r.UDP.Filtering != filtering {
						t.Errorf("tcp %v, udp %v and %v", r.TCP.Mapping, r.UDP.Mapping, r.UDP.Filtering)
					}
					if !r.NATed() || r.External != externalIP {
						t.Errorf("external %v", r.External)
					}
				})
			}
		}
	}
}

// TestAssembleRandomNATs draws NATs with everything that goes wrong on the
// way, and counts. A verdict that is sure and wrong is the worst.
func TestAssembleRandomNATs(t *testing.T) {
	const n = 3000
	var count, unsure [2]int // of undisturbed and of disturbed ones
	var wrong int
	for seed := range uint64(n) {
		m := newModel(seed, EndpointIndependent, EndpointIndependent, Delta{Kind: Random})
		m.mapping, m.filtering = behaviors[m.rng.IntN(3)], behaviors[m.rng.IntN(3)]
		m.ports = deltas[m.rng.IntN(len(deltas))]
		if m.rng.IntN(3) == 0 && m.ports.Kind != Equal && m.ports.Kind != Random { // a range of its own
			m.lo = 2000 + m.rng.IntN(40000)
			m.hi = m.lo + 999 + m.rng.IntN(20000)
		}
		if m.ports.Kind == Independent && m.rng.IntN(3) == 0 {
			m.foreign = 0.3
		}
		m.none = m.rng.IntN(10) == 0
		m.reset()
		s := m.samples(5)
		disturbed := 0
		if m.rng.IntN(3) == 0 {
			disturbed = 1
			disturb(m, &s.UDP)
			disturb(m, &s.TCP)
		}
		count[disturbed]++
		r := Assemble(s)
		want := m.ports
		if m.none {
			want = Delta{Kind: NotApplicable}
		}
		right := r.Type == m.wantType() && r.Delta == want
		switch {
		case !r.Sure():
			unsure[disturbed]++
		case !right:
			wrong++
			t.Logf("seed %d: %v/%v/%v range %d-%d foreign %v: got %v, %v (%.2f %.2f)", seed, m.mapping, m.filtering, m.ports, m.lo, m.hi, m.foreign, r.Type, r.Delta, r.Confidence, r.TCP.Confidence)
		}
	}
	t.Logf("of %v undisturbed and disturbed: %v unsure; %d wrong", count, unsure, wrong)
	if 100*unsure[0] > count[0] || 10*unsure[1] > count[1] || wrong > n/500 {
		t.Errorf("want at most 1 %% and 10 %% unsure, and 0.2 %% wrong")
	}
}

// disturb loses answers and makes one server lie.
func disturb(m *model, h *Heard) {
	liar := m.rng.IntN(5)
	for i := 0; i < len(h.Mappings); i++ {
		s := &h.Mappings[i]
		switch {
		case s.Server.Addr() == server(liar, false, false).Addr():
			s.External = netip.AddrPortFrom(s.External.Addr().Next(), uint16(1024+m.rng.IntN(60000)))
		case m.rng.IntN(12) == 0:
			h.Mappings = append(h.Mappings[:i], h.Mappings[i+1:]...)
			i--
		}
	}
}

func TestAssembleSpecialCases(t *testing.T) {
	cone := func() Samples {
		return newModel(1, EndpointIndependent, AddressDependent, Delta{Kind: Equal}).samples(4)
	}
	for _, c := range []struct {
		name    string
		samples func() Samples
		want    Type
		delta   DeltaKind
		guess   bool
		sure    bool
	}{
		{"nothing asked", func() Samples { return Samples{} }, Blocked, NotApplicable, false, true},
		{"nothing answered", func() Samples { return Samples{UDP: Heard{Asked: 6}, TCP: Heard{Asked: 6}} }, Blocked, NotApplicable, false, true},
		{"udp blocked", func() Samples { s := cone(); s.UDP = Heard{Asked: 4}; return s }, PortRestricted, Equal, false, false},
		{"tcp unanswered", func() Samples { s := cone(); s.TCP = Heard{Asked: 4}; return s }, Restricted, Equal, true, false},
		{"no filter test", func() Samples { s := cone(); s.UDP.Filters = nil; return s }, PortRestricted, Equal, false, false},
		{"one server over tcp", func() Samples { s := cone(); s.TCP.Mappings = s.TCP.Mappings[:1]; return s }, Restricted, Equal, false, false},
		{"firewall, udp blocked", func() Samples {
			m := newModel(1, EndpointIndependent, EndpointIndependent, Delta{Kind: Equal})
			m.none = true
			s := m.samples(4)
			s.UDP = Heard{Asked: 4}
			return s
		}, SymmetricFirewall, NotApplicable, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Assemble(c.samples())
			if r.Type != c.want || r.Delta.Kind != c.delta || r.Guess != c.guess || r.Sure() != c.sure {
				t.Errorf("got %v, %v, guess %v, sure %v (%.2f)", r.Type, r.Delta, r.Guess, r.Sure(), r.Confidence)
			}
			if c.guess && (!r.TCP.Guess || r.TCP.Answered != 0 || r.TCP.Mapping != r.UDP.Mapping) {
				t.Errorf("tcp %+v", r.TCP)
			}
		})
	}
}

func TestAssembleFindsTheWarmPort(t *testing.T) {
	for _, mapping := range behaviors {
		s := newModel(3, mapping, EndpointIndependent, Delta{Independent, 1}).samples(3)
		s.WarmPort = s.TCP.Mappings[0].Local.Port()
		r := Assemble(s)
		if mapping == EndpointIndependent && r.Warm != s.TCP.Mappings[0].External {
			t.Errorf("warm %v, want %v", r.Warm, s.TCP.Mappings[0].External)
		}
		if mapping != EndpointIndependent && r.Warm.IsValid() {
			t.Errorf("warm %v behind a symmetric NAT", r.Warm)
		}
	}
}

// TestAssembleNeedsNoOrder holds a report to be the same in whatever order
// answers came in.
func TestAssembleNeedsNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom(behaviors).Draw(t, "mapping"),
			rapid.SampledFrom(behaviors).Draw(t, "filtering"), rapid.SampledFrom(deltas).Draw(t, "ports"))
		s := m.samples(rapid.IntRange(2, 6).Draw(t, "servers"))
		want := Assemble(s)
		s.TCP.Mappings = rapid.Permutation(s.TCP.Mappings).Draw(t, "tcp")
		s.UDP.Mappings = rapid.Permutation(s.UDP.Mappings).Draw(t, "udp")
		s.UDP.Filters = rapid.Permutation(s.UDP.Filters).Draw(t, "filters")
		got := Assemble(s)
		if got.Type != want.Type || got.Delta != want.Delta || got.Confidence != want.Confidence || got.External != want.External {
			t.Fatalf("got %v %v, want %v %v", got.Type, got.Delta, want.Type, want.Delta)
		}
	})
}

func BenchmarkAssemble(b *testing.B) {
	for _, ports := range []Delta{{Kind: Equal}, {Independent, 2}, {Kind: Random}} {
		b.Run(ports.String(), func(b *testing.B) {
			s := newModel(1, AddressAndPortDependent, AddressDependent, ports).samples(6)
			b.ReportAllocs()
			for b.Loop() {
				Assemble(s)
			}
		})
	}
}
