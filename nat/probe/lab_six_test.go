package probe

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// TestLabIPv6 asks over IPv6 alone, from behind firewalls of each kind. IPv4
// servers in the list are passed over and cost no other its place.
func TestLabIPv6(t *testing.T) {
	n := newNet20(t)
	old := n.servers
	servers := old
	for range 2 {
		h, err := n.Host(natlab.HostConfig{Stack: natlab.IPv6, Addresses: 2, Delay: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		cfg := ServerConfig{Primary: netip.AddrPortFrom(h.Addrs()[0], 3478), Alternate: netip.AddrPortFrom(h.Addrs()[1], 3479)}
		startOn(t, h, cfg)
		servers = append(servers, cfg.Primary.String(), netip.AddrPortFrom(h.Addrs()[1], 3479).String())
	}
	for _, c := range []struct {
		name    string
		v6      natlab.V6
		want    nat.Type
		depth   int
		refusal nat.Refusal
	}{
		{"drop", natlab.V6{}, nat.SymmetricFirewall, 1, nat.Dropped},
		{"rst", natlab.V6{Refuse: natlab.RST}, nat.SymmetricFirewall, 1, nat.Reset},
		{"open", natlab.V6{Open: true}, nat.Open, 0, nat.RefusalUnknown},
		{"by endpoint", natlab.V6{Filtering: nat.EndpointIndependent}, nat.Open, 0, nat.RefusalUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box, err := n.NAT(natlab.NAT{V6: &c.v6, Delay: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			h, err := n.Host(natlab.HostConfig{Behind: box, Stack: natlab.IPv6})
			if err != nil {
				t.Fatal(err)
			}
			var sent [2]int
			machinetest.Calmly(t, func() string {
				out := n.probe(t, h, Config{Servers: servers, TCPServers: servers, WarmPort: 40000})
				r := out.Reports[len(out.Reports)-1]
				var wrong []string
				if out.Error != "" || r.Type != c.want || r.Depth != c.depth || r.Refusal != c.refusal {
					wrong = append(wrong, fmt.Sprintf("%q: %v, depth %d, refusal %v, %v", out.Error, r.Type, r.Depth, r.Refusal, r.Hops))
				}
				if r.Local != h.Addr6() || r.External != h.Addr6() || r.Warm != netip.AddrPortFrom(h.Addr6(), 40000) || !r.Sure() {
					wrong = append(wrong, fmt.Sprintf("%v, seen as %v, warm %v, sure %v", r.Local, r.External, r.Warm, r.Sure()))
				}
				udp, tcp := n.packets(h.Addr6())
				if udp, tcp = udp-sent[0], tcp-sent[1]; udp > mostPackets+nat.MaxHops || tcp > mostPackets {
					t.Errorf("%d packets over UDP, %d over TCP", udp, tcp)
				}
				sent = [2]int{sent[0] + udp, sent[1] + tcp}
				return strings.Join(wrong, "\n")
			})
		})
	}
}
