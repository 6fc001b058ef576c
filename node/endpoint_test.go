package node

import (
	"net/netip"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
)

// Of a port that nobody was asked about, the peer is told what follows from the
// warm one, the end of the NAT's range included; of a random one, the address.
func TestUnaskedEndpoint(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	outside := netip.MustParseAddr("203.0.113.9")
	const warm = 40000
	for _, c := range []struct {
		name   string
		typ    nat.Type
		delta  nat.DeltaKind
		mapped uint16 // the warm port
		want   func(port uint16) netip.AddrPort
	}{
		{"firewall", nat.SymmetricFirewall, nat.NotApplicable, warm, func(p uint16) netip.AddrPort { return netip.AddrPortFrom(local, p) }},
		{"equal", nat.PortRestricted, nat.Equal, warm, func(p uint16) netip.AddrPort { return netip.AddrPortFrom(outside, p) }},
		{"preserving", nat.PortRestricted, nat.Preserving, warm - 1000, func(p uint16) netip.AddrPort { return netip.AddrPortFrom(outside, p-1000) }},
		{"preserving, across the end", nat.PortRestricted, nat.Preserving, warm + 20000, func(p uint16) netip.AddrPort {
			return netip.AddrPortFrom(outside, uint16(int(p)+20000-65536+1024)) // every fresh port is high enough
		}},
		{"random", nat.Symmetric, nat.Random, 12345, func(uint16) netip.AddrPort { return netip.AddrPortFrom(outside, 12345) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &Node{fresh: newFreshPorts()}
			i := address.Interface{External: outside, Port: warm, ExternalPort: c.mapped, NAT: c.typ, Delta: nat.Delta{Kind: c.delta}}
			r := nat.Report{Type: c.typ, Delta: i.Delta, Local: local, External: outside, WarmPort: warm, Warm: netip.AddrPortFrom(outside, c.mapped)}
			if c.typ == nat.SymmetricFirewall {
				r.External = local
			}
			e, err := n.unaskedEndpoint(i, r, local)
			if err != nil {
				t.Fatal(err)
			}
			if want := c.want(e.local[0].Port()); len(e.external) != 1 || e.external[0] != want || !e.fresh {
				t.Errorf("%v is seen as %v, want %v", e.local, e.external, want)
			}
		})
	}
}
