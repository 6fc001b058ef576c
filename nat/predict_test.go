package nat

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func at(local, external uint16) Mapping {
	return Mapping{Local: netip.AddrPortFrom(localIP, local), External: netip.AddrPortFrom(externalIP, external)}
}

func ports(ps []Prediction) []uint16 {
	out := []uint16{}
	for _, p := range ps {
		out = append(out, p.Port)
	}
	return out
}

func TestPredict(t *testing.T) {
	for _, c := range []struct {
		name  string
		basis Basis
		want  []uint16 // the first ones
	}{
		{"open", Basis{Type: Open, Delta: Delta{Kind: NotApplicable}, Local: 5000}, []uint16{5000}},
		{"firewall", Basis{Type: SymmetricFirewall, Local: 5000}, []uint16{5000}},
		{"equal", Basis{Type: PortRestricted, Delta: Delta{Kind: Equal}, Local: 5000}, []uint16{5000, 5001, 5002}},
		{"equal, symmetric", Basis{Type: Symmetric, Delta: Delta{Kind: Equal}, Local: 5000, Last: at(4000, 4000)}, []uint16{5000, 5001}},
		{"the probed port of a cone", Basis{Type: FullCone, Delta: Delta{Kind: Random}, Local: 4000, Last: at(4000, 61234)}, []uint16{61234}},
		{"another port of a random cone", Basis{Type: FullCone, Delta: Delta{Kind: Random}, Local: 4001, Last: at(4000, 61234)}, nil},
		{"preserving", Basis{Type: PortRestricted, Delta: Delta{Kind: Preserving}, Local: 4010, Last: at(4000, 61234)}, []uint16{61244, 61245}},
		{"preserving downwards", Basis{Type: Symmetric, Delta: Delta{Kind: Preserving}, Local: 3990, Last: at(4000, 61234)}, []uint16{61224}},
		{"preserving over the end", Basis{Type: PortRestricted, Delta: Delta{Kind: Preserving}, Local: 4010, Last: at(4000, 65530)}, []uint16{1028}},
		{"+1", Basis{Type: Symmetric, Delta: Delta{Independent, 1}, Local: 9, Last: at(4000, 50000)}, []uint16{50001, 50002, 50003}},
		{"-2", Basis{Type: Symmetric, Delta: Delta{Independent, -2}, Local: 9, Last: at(4000, 50000)}, []uint16{49998, 49996, 49994}},
		{"+1, the third socket", Basis{Type: Symmetric, Delta: Delta{Independent, 1}, Local: 9, Between: 2, Last: at(4000, 50000)}, []uint16{50003, 50004}},
		{"+1, two by others", Basis{Type: Symmetric, Delta: Delta{Independent, 1}, Local: 9, Foreign: 2.5, Last: at(4000, 50000)}, []uint16{50003, 50004, 50002, 50005}},
		{"+1 in a range", Basis{Type: Symmetric, Delta: Delta{Independent, 1}, Local: 9, Last: at(4000, 20999), Ports: PortRange{20000, 20999}}, []uint16{20000, 20001}},
		{"-1 in a range", Basis{Type: Symmetric, Delta: Delta{Independent, -1}, Local: 9, Last: at(4000, 20000), Ports: PortRange{20000, 20999}}, []uint16{20999, 20998}},
		{"+1 at the very end", Basis{Type: Symmetric, Delta: Delta{Independent, 1}, Local: 9, Last: at(4000, 65535)}, []uint16{1024}},
		{"+1 without a mapping", Basis{Type: Symmetric, Delta: Delta{Independent, 1}, Local: 9}, nil},
		{"dependent +3", Basis{Type: Symmetric, Delta: Delta{Dependent, 3}, Local: 4001, Last: at(4000, 50000)}, []uint16{50003, 50006}},
		{"dependent, the second of a row", Basis{Type: Symmetric, Delta: Delta{Dependent, 3}, Local: 4002, Between: 1, Last: at(4000, 50000)}, []uint16{50006}},
		{"dependent, another local port", Basis{Type: Symmetric, Delta: Delta{Dependent, 3}, Local: 4005, Last: at(4000, 50000)}, nil},
		{"random and symmetric", Basis{Type: Symmetric, Delta: Delta{Kind: Random}, Local: 4000, Last: at(4000, 50000)}, nil},
		{"blocked", Basis{Type: Blocked, Local: 4000, Last: at(4000, 50000)}, nil},
		{"no local port", Basis{Type: Open}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ports(Predict(c.basis))
			if len(got) < len(c.want) || !slices.Equal(got[:len(c.want)], c.want) || len(c.want) == 0 && len(got) > 0 {
				t.Errorf("got %v, want %v first", got, c.want)
			}
		})
	}
}

// TestReferencesTable holds Predict to the table of P2PD, whose first column is
// the local port: L, R a mapping fetched beforehand, p the peer's port, d the
// step.
func TestReferencesTable(t *testing.T) {
	const l, r, p, d = 40000, 50000, 51111, 4
	for _, c := range []struct {
		name          string
		t             Type
		delta         Delta
		local, remote uint16 // remote 0: impossible
	}{
		{"open: p, p", Open, Delta{Kind: NotApplicable}, p, p},
		{"equal: p, p", PortRestricted, Delta{Kind: Equal}, p, p},
		{"preserving: L + distance(R, p), p", PortRestricted, Delta{Kind: Preserving}, l + p - r, p},
		{"independent: any, R + d", Symmetric, Delta{Independent, d}, 33333, r + d},
		{"dependent: L + 1, R + d", Symmetric, Delta{Dependent, d}, l + 1, r + d},
		{"random, full cone: L, R", FullCone, Delta{Kind: Random}, l, r},
		{"random, restricted: L, R", Restricted, Delta{Kind: Random}, l, r},
		{"random, port restricted: L, R", PortRestricted, Delta{Kind: Random}, l, r},
		{"random, symmetric: impossible", Symmetric, Delta{Kind: Random}, l, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Predict(Basis{Type: c.t, Delta: c.delta, Last: at(l, r), Local: c.local})
			if (c.remote != 0) != (len(got) > 0) || c.remote != 0 && (got[0].Port != c.remote || got[0].Chance < 0.5) {
				t.Errorf("predicted %v", got)
			}
		})
	}
}

// TestPredictionsComeTrue draws NATs, and lets each map one port and then
// another: what was likeliest must be what happens.
func TestPredictionsComeTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom(behaviors).Draw(t, "mapping"),
			AddressAndPortDependent, rapid.SampledFrom(deltas).Draw(t, "ports"))
		if m.ports.Kind == Random {
			return
		}
		m.lo = rapid.IntRange(1024, 30000).Draw(t, "lo")
		m.hi = rapid.IntRange(m.lo+2000, 65535).Draw(t, "hi")
		if m.ports.Kind == Equal {
			m.lo, m.hi = 1024, 65535
		}
		m.reset()
		kind := Symmetric
		if m.mapping == EndpointIndependent {
			kind = PortRestricted
		}
		last := m.see(40000, server(0, false, false))
		got := Predict(Basis{
			Type: kind, Delta: m.ports, Last: last, Local: 40001,
			Ports: PortRange{uint16(m.lo), uint16(m.hi)},
		})
		next := m.see(40001, server(1, false, false)).External.Port()
		if len(got) == 0 || got[0].Port != next {
			t.Fatalf("after %v came %d, predicted %v", last.External, next, got)
		}
	})
}

// TestPredictHolds what every prediction must be, whatever is asked.
func TestPredictHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Basis{
			Type:    Type(rapid.Uint8Range(0, 9).Draw(t, "type")),
			Delta:   Delta{DeltaKind(rapid.Uint8Range(0, 8).Draw(t, "kind")), rapid.Int().Draw(t, "step")},
			Last:    at(rapid.Uint16().Draw(t, "l"), rapid.Uint16().Draw(t, "r")),
			Local:   rapid.Uint16().Draw(t, "local"),
			Between: rapid.Int().Draw(t, "between"), Foreign: rapid.Float64().Draw(t, "foreign"),
			Ports: PortRange{rapid.Uint16().Draw(t, "lo"), rapid.Uint16().Draw(t, "hi")},
			Most:  rapid.Int().Draw(t, "most"),
		}
		got := Predict(b)
		sum := 0.0
		seen := map[uint16]bool{}
		for i, p := range got {
			sum += p.Chance
			if p.Port == 0 || seen[p.Port] || !(p.Chance > 0 && p.Chance <= 1) || i > 0 && p.Chance > got[i-1].Chance {
				t.Fatalf("%v", got)
			}
			seen[p.Port] = true
		}
		if len(got) > 64 || sum > 1.0001 {
			t.Fatalf("%d predictions with %v in all", len(got), sum)
		}
	})
}
