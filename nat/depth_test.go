package nat

import (
	"net/netip"
	"strings"
	"testing"
)

func hops(list string) []netip.Addr {
	var all []netip.Addr
	for _, s := range strings.Fields(list) {
		a, _ := netip.ParseAddr(s) // "*" is silence
		all = append(all, a)
	}
	return all
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		name  string
		typ   Type
		hops  string
		depth int
	}{
		{"home router", PortRestricted, "192.168.1.1 80.1.1.1 80.2.2.2", 1},
		{"behind a carrier", PortRestricted, "192.168.1.1 100.64.3.1 80.2.2.2", 2},
		{"the carrier does not answer", Symmetric, "192.168.1.1 * 10.7.0.1 80.2.2.2", 3},
		{"the home router does not answer", PortRestricted, "* 80.1.1.1", 0},
		{"nobody answers", PortRestricted, "* * *", 0},
		{"no answers at all", FullCone, "", 0},
		{"firewall in the way", SymmetricFirewall, "53.1.1.1 80.1.1.1", 1},
		{"firewall of one's own", SymmetricFirewall, "* 80.1.1.1", 0},
		{"open", Open, "53.1.1.1 80.1.1.1", 0},
		{"private address far away", PortRestricted, "192.168.1.1 80.1.1.1 80.1.1.2 80.1.1.3 80.1.1.4 80.1.1.5 10.0.0.1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Depth(c.typ, hops(c.hops)); got != c.depth {
				t.Errorf("depth %d, want %d", got, c.depth)
			}
		})
	}
}

func TestCarrierGrade(t *testing.T) {
	home := netip.MustParseAddr("192.168.1.5")
	if !CarrierGrade(home, hops("192.168.1.1 100.64.3.1")) || !CarrierGrade(netip.MustParseAddr("100.70.0.9"), nil) {
		t.Error("a carrier's address is not seen")
	}
	if CarrierGrade(home, hops("192.168.1.1 80.1.1.1 *")) {
		t.Error("a home router is taken for a carrier's")
	}
}
