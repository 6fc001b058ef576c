package node

import (
	"net/netip"
	"testing"

	"github.com/sallyport-net/sallyport/nat"
)

// A forwarded port makes the address say that strangers get in, but only where
// no server has seen us at another address.
func TestForwardedPortInTheAddress(t *testing.T) {
	inner, outer := netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("52.10.1.10")
	six := netip.MustParseAddr("2a00::10")
	seen := nat.Report{Local: inner, External: outer, Type: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal}, Warm: netip.AddrPortFrom(outer, 4000)}
	for name, c := range map[string]struct {
		at     netip.Addr
		report nat.Report
		mapped string
		want   string
		nat    nat.Type
	}{
		"same port":     {inner, seen, "52.10.1.10:4000", "52.10.1.10:4000", nat.FullCone},
		"other port":    {inner, seen, "52.10.1.10:5000", "52.10.1.10:5000", nat.FullCone},
		"no report yet": {inner, nat.Report{}, "52.10.1.10:5000", "52.10.1.10:5000", nat.FullCone},
		"a lie":         {inner, seen, "52.10.1.11:5000", "52.10.1.10:4000", nat.PortRestricted},
		"pinhole":       {six, nat.Report{Local: six, External: six, Type: nat.SymmetricFirewall}, "[2a00::10]:4000", "[2a00::10]:4000", nat.Open},
	} {
		i := describePlace(place{addr: c.at}, 0, c.report, netip.MustParseAddrPort(c.mapped), 4000, false)
		if i.ExternalEndpoint().String() != c.want || i.NAT != c.nat {
			t.Errorf("%s: %v, %v; want %v, %v", name, i.ExternalEndpoint(), i.NAT, c.want, c.nat)
		}
	}
}
