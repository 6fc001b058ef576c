package nat

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// saw makes mappings of one local port out of pairs of server and external
// endpoint.
func saw(local string, pairs ...string) []Mapping {
	var out []Mapping
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Mapping{
			Local: netip.MustParseAddrPort(local), Server: netip.MustParseAddrPort(pairs[i]),
			External: netip.MustParseAddrPort(pairs[i+1]), Sent: time.Unix(1, int64(i)), At: time.Unix(2, 0),
		})
	}
	return out
}

func TestClassifyMapping(t *testing.T) {
	const me, a, b, c, d = "10.0.0.2:5000", "1.0.0.1:3478", "2.0.0.1:3478", "3.0.0.1:3478", "4.0.0.1:3478"
	const a2 = "1.0.0.1:3479"
	for _, tt := range []struct {
		name       string
		in         []Mapping
		want       Behavior
		translated bool
		lying      int
		atLeast    float64
		atMost     float64
	}{
		{"nothing", nil, BehaviorUnknown, false, 0, 0, 0},
		{"one server", saw(me, a, "8.8.8.8:1"), BehaviorUnknown, true, 0, 0, 0},
		{"one server, no NAT", saw(me, a, me), EndpointIndependent, false, 0, 0.5, 0.5},
		{"one server, two ports that agree", saw(me, a, "8.8.8.8:1", a2, "8.8.8.8:1"), BehaviorUnknown, true, 0, 0, 0},
		{"one server, two ports that differ", saw(me, a, "8.8.8.8:1", a2, "8.8.8.8:2"), AddressAndPortDependent, true, 0, 0.5, 1},
		{"two agree", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:1"), EndpointIndependent, true, 0, 0.7, 0.8},
		{"two differ", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:2"), AddressAndPortDependent, true, 0, 0.5, 0.5},
		{"four agree", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:1", c, "8.8.8.8:1", d, "8.8.8.8:1"), EndpointIndependent, true, 0, 0.9, 1},
		{"one of three lies", saw(me, a, "8.8.8.8:1", b, "9.9.9.9:1", c, "8.8.8.8:1"), EndpointIndependent, true, 1, 0.5, 0.6},
		{"one of four lies about the port", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:9", c, "8.8.8.8:1", d, "8.8.8.8:1"), EndpointIndependent, true, 1, 0.6, 0.7},
		{"two of four lie", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:9", c, "8.8.8.8:1", d, "8.8.8.8:7"), AddressAndPortDependent, true, 0, 0, 0.5},
		{"each another port", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:2", c, "8.8.8.8:3"), AddressAndPortDependent, true, 0, 0.7, 0.8},
		{"by address", saw(me, a, "8.8.8.8:1", a2, "8.8.8.8:1", b, "8.8.8.8:2", c, "8.8.8.8:3"), AddressDependent, true, 0, 0.7, 0.8},
		{"by address and port", saw(me, a, "8.8.8.8:1", a2, "8.8.8.8:5", b, "8.8.8.8:2", c, "8.8.8.8:3"), AddressAndPortDependent, true, 0, 0.8, 0.9},
		{"by port alone", saw(me, a, "8.8.8.8:1", a2, "8.8.8.8:2", b, "8.8.8.8:1", c, "8.8.8.8:1"), AddressAndPortDependent, true, 0, 0.5, 0.5},
		{"a symmetric NAT and a liar", saw(me, a, "8.8.8.8:1", b, "8.8.8.8:2", c, "8.8.8.8:3", d, "9.9.9.9:5"), AddressAndPortDependent, true, 1, 0.8, 0.9},
		{"no NAT", saw(me, a, me, b, me, c, me), EndpointIndependent, false, 0, 0.8, 0.9},
		{"no NAT but a liar", saw(me, a, me, b, "8.8.8.8:1", c, me), EndpointIndependent, false, 1, 0.5, 0.6},
		{"the same, written as IPv6", saw("[::ffff:10.0.0.2]:5000", a, me, b, "[::ffff:10.0.0.2]:5000"), EndpointIndependent, false, 0, 0.7, 0.8},
		{"another local port besides", append(saw(me, a, "8.8.8.8:1", b, "8.8.8.8:1"), saw("10.0.0.2:6000", c, "8.8.8.8:7")...), EndpointIndependent, true, 0, 0.7, 0.8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := ClassifyMapping(tt.in)
			if v.Behavior != tt.want || v.Translated != tt.translated || len(v.Lying) != tt.lying ||
				v.Confidence < tt.atLeast || v.Confidence > tt.atMost {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestClassifyFiltering(t *testing.T) {
	s1, s2 := netip.MustParseAddrPort("1.0.0.1:3478"), netip.MustParseAddrPort("2.0.0.1:3478")
	elsewhere, otherPort := netip.MustParseAddrPort("1.0.0.9:3479"), netip.MustParseAddrPort("1.0.0.1:3479")
	var silence netip.AddrPort
	both := func(s, from netip.AddrPort, alive bool) Filtered {
		return Filtered{Server: s, ChangeIP: true, ChangePort: true, From: from, Alive: alive}
	}
	port := func(s, from netip.AddrPort, alive bool) Filtered {
		return Filtered{Server: s, ChangePort: true, From: from, Alive: alive}
	}
	for _, tt := range []struct {
		name string
		in   []Filtered
		want Behavior
		sure bool
	}{
		{"nothing", nil, BehaviorUnknown, false},
		{"all come in", []Filtered{both(s1, elsewhere, true), port(s1, otherPort, true)}, EndpointIndependent, true},
		{"one comes in, one is lost", []Filtered{both(s1, elsewhere, true), both(s2, silence, true), port(s2, silence, true)}, EndpointIndependent, true},
		{"only from the same IP", []Filtered{both(s1, silence, true), port(s1, otherPort, true)}, AddressDependent, true},
		{"nothing comes in", []Filtered{both(s1, silence, true), port(s1, silence, true)}, AddressAndPortDependent, true},
		{"nothing comes in, the senders are dead", []Filtered{both(s1, silence, false), port(s1, silence, false)}, BehaviorUnknown, false},
		{"the other IP is dead", []Filtered{both(s1, silence, false), port(s1, otherPort, true)}, AddressDependent, false},
		{"one IP, two ports, shut", []Filtered{port(s1, silence, true)}, AddressAndPortDependent, true},
		{"one IP, two ports, open", []Filtered{port(s1, otherPort, true)}, AddressDependent, false},
		{"the server does not do as asked", []Filtered{both(s1, s1, true), port(s1, s1, true)}, BehaviorUnknown, false},
		{"it changes the port only", []Filtered{both(s1, otherPort, true), port(s1, otherPort, true)}, AddressDependent, false},
		{"late but in", []Filtered{both(s1, silence, true), both(s1, elsewhere, true)}, EndpointIndependent, true},
		{"no change asked", []Filtered{{Server: s1, From: s1, Alive: true}}, BehaviorUnknown, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := ClassifyFiltering(tt.in)
			if v.Behavior != tt.want || (v.Confidence >= sureEnough) != tt.sure || v.Confidence > 1 {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestFindChain(t *testing.T) {
	for _, c := range []struct {
		name  string
		ports []uint16
		want  int // 0: none
		wrap  PortRange
	}{
		{"+1", []uint16{500, 501, 502, 503}, 1, PortRange{}},
		{"-1", []uint16{503, 502, 501, 500}, -1, PortRange{}},
		{"+2", []uint16{500, 502, 504, 506, 508}, 2, PortRange{}},
		{"a big step", []uint16{1000, 8000, 15000, 22000, 29000}, 7000, PortRange{}},
		{"+1 with others in between", []uint16{500, 502, 503, 506, 507, 508}, 1, PortRange{}},
		{"+2 with others in between", []uint16{500, 502, 506, 508, 514}, 2, PortRange{}},
		{"a liar", []uint16{500, 501, 40000, 503, 504, 505}, 1, PortRange{}},
		{"a liar at the start", []uint16{40000, 501, 502, 503, 504}, 1, PortRange{}},
		{"two changed places", []uint16{500, 502, 501, 503, 504, 505, 506}, 1, PortRange{}},
		{"wraps in a range", []uint16{20997, 20998, 20999, 20000, 20001, 20002}, 1, PortRange{20000, 20999}},
		{"wraps within a row of five", []uint16{65533, 65534, 65535, 1024, 1025}, 1, PortRange{1024, 65535}},
		{"wraps early in a row of five", []uint16{65534, 65535, 1024, 1025, 1026}, 1, PortRange{1024, 65535}},
		{"wraps downwards within a row", []uint16{1026, 1024, 65534, 65532, 65530}, -2, PortRange{1024, 65534}},
		{"wraps downwards", []uint16{20002, 20001, 20000, 20999, 20998, 20997}, -1, PortRange{20000, 20999}},
		{"wraps often", []uint16{20000, 20400, 20800, 20200, 20600, 20000, 20400}, 400, PortRange{20000, 20800}},
		{"runs over 65535", []uint16{65534, 65535, 0, 1, 2}, 1, PortRange{}},
		{"random", []uint16{4711, 60000, 23456, 1024, 33333, 50505}, 0, PortRange{}},
		{"too few", []uint16{500, 501, 502}, 0, PortRange{}},
		{"all alike", []uint16{500, 500, 500, 500}, 0, PortRange{}},
		{"nothing", nil, 0, PortRange{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			places := make([]int, len(c.ports))
			for i := range places {
				places[i] = i
			}
			got, ok := findChain(c.ports, places)
			if ok != (c.want != 0) || got.step != c.want || got.wrapped != c.wrap {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

func TestChainsAreNoAccident(t *testing.T) {
	for _, size := range []int{300, 1000, 10000, 64512} {
		m := newModel(uint64(size), EndpointIndependent, EndpointIndependent, Delta{Kind: Random})
		m.lo, m.hi = 1024, 1024+size-1
		const n = 3000
		accidents := 0
		for range n {
			ports, places := make([]uint16, 6), make([]int, 6)
			for i := range ports {
				ports[i], places[i] = uint16(m.random()), i
			}
			if _, ok := findChain(ports, places); ok {
				accidents++
			}
		}
		if accidents > n/200 {
			t.Errorf("in a range of %d: %d of %d", size, accidents, n)
		}
	}
}

func TestDescribe(t *testing.T) {
	random := newModel(1, AddressAndPortDependent, EndpointIndependent, Delta{Kind: Random}).samples(4)
	blocked := random
	blocked.UDP = Heard{Asked: 4}
	for _, c := range []struct {
		r    Report
		want string
	}{
		{Assemble(random), "Direct connections: only to some. The NAT uses a new random port for every peer, so that only peers without NAT or behind a friendlier one can be reached; a relay helps with the others. Seen as 203.0.113.7; type: symmetric; ports: random."},
		{Assemble(blocked), "Direct connections: only to some. The NAT uses a new random port for every peer, so that only peers without NAT or behind a friendlier one can be reached; a relay helps with the others. Seen as 203.0.113.7; type: symmetric; ports: random. UDP is blocked; that does not hinder connections over TCP."},
		{Assemble(Samples{}), "Direct connections: unlikely. No server answered over TCP or UDP: there is no way to the internet, or a firewall blocks it."},
		{Report{}, "Direct connections: unknown. Nothing has been found out about this network yet."},
	} {
		if got := Describe(c.r); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	seen := map[string]bool{}
	for ty := TypeUnknown; ty <= Blocked; ty++ {
		s := Describe(Report{Type: ty, Delta: Delta{Kind: Equal}, External: externalIP})
		if seen[s] || len(s) < 40 {
			t.Errorf("%v: %q", ty, s)
		}
		seen[s] = true
	}
}

// FuzzAssemble reads mappings, five bytes each, and holds a report to what
// must be true of every one.
func FuzzAssemble(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1, 0x10, 0, 1, 0, 2, 0x10, 1, 1, 0, 3, 0x10, 2, 1, 0, 4, 0x10, 3})
	f.Add([]byte{1, 0, 1, 0, 1, 2, 0, 1, 0, 2, 3, 0, 1, 0, 3, 4, 0, 1, 0, 4, 5, 0, 1, 0, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := Samples{Local: localIP, WarmPort: 40001}
		for n := int64(0); len(b) >= 5 && n < 200; n++ {
			m := Mapping{
				Local:    netip.AddrPortFrom(localIP, 40000+uint16(b[0]%16)*uint16(1+b[0]/64)),
				External: netip.AddrPortFrom(externalIP, binary.BigEndian.Uint16(b[3:])),
				Server:   server(int(b[2]), b[1]&1 != 0, b[1]&2 != 0), Sent: time.Unix(1, n),
			}
			if b[1]&4 != 0 {
				m.External = m.Local
			}
			if b[1]&8 != 0 {
				s.UDP.Mappings = append(s.UDP.Mappings, m)
			} else {
				s.TCP.Mappings = append(s.TCP.Mappings, m)
			}
			if b[1]&16 != 0 {
				s.UDP.Filters = append(s.UDP.Filters, Filtered{Server: m.Server, ChangeIP: b[1]&32 != 0, ChangePort: true, From: m.External, Alive: true})
			}
			b = b[5:]
		}
		before := slices.Clone(s.TCP.Mappings)
		r := Assemble(s)
		if !r.Type.Valid() || !r.Delta.Kind.Valid() {
			t.Fatalf("%v, %v cannot stand in an address", r.Type, r.Delta)
		}
		for _, c := range []float64{r.Confidence, r.TCP.Confidence, r.UDP.Confidence} {
			if !(c >= 0 && c <= 1) {
				t.Fatalf("confidence %v", c)
			}
		}
		if v := r.Delta.Value; v < -32768 || v > 32767 || v != 0 && r.Delta.Kind != Independent && r.Delta.Kind != Dependent {
			t.Fatalf("%v", r.Delta)
		}
		if !slices.Equal(before, s.TCP.Mappings) {
			t.Fatal("the samples were changed")
		}
		if Describe(r) == "" {
			t.Fatal("nothing to say")
		}
	})
}
