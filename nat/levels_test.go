package nat

import (
	"net/netip"
	"strings"
	"testing"
)

func TestLevels(t *testing.T) {
	ips := func(s string) (out []netip.Addr) {
		for _, f := range strings.Fields(s) {
			out = append(out, netip.MustParseAddr(f))
		}
		return out
	}
	public := netip.MustParseAddr("203.0.113.7")
	for _, c := range []struct {
		local, hops string
		levels      int
		sure        bool
		says        string
	}{
		{"203.0.113.7", "203.0.113.1", 0, true, ""},
		{"192.168.1.2", "192.168.1.1 203.0.113.1", 1, true, ""},
		{"192.168.1.2", "192.168.1.1 100.64.0.1 203.0.113.1", 2, true, "carrier-grade"},
		{"100.70.1.2", "100.70.0.1 203.0.113.1", 1, true, "carrier-grade"},
		{"192.168.1.2", "192.168.1.1 10.0.0.1 203.0.113.1", 2, false, "perhaps two NATs"},
	} {
		r := Report{Local: netip.MustParseAddr(c.local), External: public, Type: PortRestricted, Hops: ips(c.hops)}
		if n, sure := r.Levels(); n != c.levels || sure != c.sure {
			t.Errorf("%s by %s: %d levels, %v", c.local, c.hops, n, sure)
		}
		s := Describe(r)
		if !strings.Contains(s, c.says) || c.says == "" && strings.Contains(s, "two NATs") {
			t.Errorf("%s by %s: %q", c.local, c.hops, s)
		}
	}
}

func TestOneWordAgainstAnother(t *testing.T) {
	a, b := netip.MustParseAddrPort("1.0.0.1:3478"), netip.MustParseAddrPort("2.0.0.1:3478")
	shut := func(s netip.AddrPort, ip bool, r Refusal) Filtered {
		return Filtered{Server: s, ChangeIP: ip, ChangePort: true, Alive: true, Refusal: r}
	}
	in := func(s netip.AddrPort) Filtered {
		return Filtered{Server: s, ChangeIP: true, ChangePort: true, From: netip.MustParseAddrPort("9.0.0.1:1"), Alive: true}
	}
	ei := FilteringVerdict{Behavior: EndpointIndependent, Confidence: 0.9, Witnesses: 2}
	apd := FilteringVerdict{Behavior: AddressAndPortDependent, Confidence: 0.9, Witnesses: 2}
	for _, c := range []struct {
		name    string
		tcp     []Filtered
		udp     FilteringVerdict
		want    Behavior
		sure    bool
		refusal Refusal
	}{
		{"nothing", nil, apd, AddressAndPortDependent, true, RefusalUnknown},
		{"one, no udp", []Filtered{shut(a, true, Reset), shut(a, false, Reset)}, FilteringVerdict{}, AddressAndPortDependent, false, Reset},
		{"two, no udp", []Filtered{shut(a, true, Reset), shut(a, false, Reset), shut(b, true, Reset), shut(b, false, Reset)}, FilteringVerdict{}, AddressAndPortDependent, true, Reset},
		{"one and udp", []Filtered{shut(a, true, Dropped), shut(a, false, Dropped)}, apd, AddressAndPortDependent, true, Dropped},
		{"one against udp", []Filtered{shut(a, true, Dropped), shut(a, false, Dropped)}, ei, BehaviorUnknown, false, RefusalUnknown},
		{"two against udp", []Filtered{shut(a, true, Dropped), shut(a, false, Dropped), shut(b, true, Dropped), shut(b, false, Dropped)}, ei, AddressAndPortDependent, true, Dropped},
		{"one who got in", []Filtered{shut(a, true, Reset), shut(a, false, Reset), in(b)}, FilteringVerdict{}, EndpointIndependent, true, RefusalUnknown},
		{"one who got in, against udp", []Filtered{in(b)}, apd, EndpointIndependent, true, RefusalUnknown},
		{"who disagree", []Filtered{shut(a, true, Reset), shut(b, true, Dropped), shut(a, false, Reset), shut(b, false, Reset)}, FilteringVerdict{}, AddressAndPortDependent, true, RefusalUnknown},
	} {
		v := filterOfTCP(ClassifyFiltering(c.tcp), c.udp)
		if v.Behavior != c.want || (v.Confidence >= sureEnough) != c.sure || v.Refusal != c.refusal {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}
