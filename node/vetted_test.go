package node

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/signaling"
)

// Whom we call may answer with other people's endpoints.
func TestAnswerToPunchIsVetted(t *testing.T) {
	n := crowdedNode(t, func(*Config) {})
	peer := address.Address{Key: someKey(t).Public()}
	for k, external := range []string{"203.0.113.9", "10.9.9.9", "169.254.169.254"} {
		peer.V4 = append(peer.V4, address.Interface{
			Index: k, External: netip.MustParseAddr(external), Internal: netip.MustParseAddr("192.168.1.5"), Port: 4000,
			NAT: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal},
		})
	}
	c := n.newCall(peer)
	for _, tt := range []struct {
		named string
		want  bool
	}{
		{"203.0.113.9:5000", true},
		{"198.51.100.7:5000", true}, // the NAT has several addresses
		{"10.9.9.9:5000", true},     // as its address says: a network without an outside
		{"10.1.1.1:5000", false},
		{"192.168.1.1:80", false},
		{"169.254.169.254:80", false}, // though its address says so
		{"100.100.100.200:80", false},
		{"127.0.0.1:631", false},
		{"224.0.0.1:5000", false},
	} {
		e := netip.MustParseAddrPort(tt.named)
		if got := slices.Contains(c.vetted(signaling.Message{From: peer}, []netip.AddrPort{e}), e); got != tt.want {
			t.Errorf("%v is dialled: %v, want %v", e, got, tt.want)
		}
	}
	if got := c.vetted(signaling.Message{From: peer}, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("203.0.113.9:5000"), netip.MustParseAddrPort("203.0.113.9:5001")}); len(got) != 2 {
		t.Errorf("of two good ones and a bad one %v are left", got)
	}
}
