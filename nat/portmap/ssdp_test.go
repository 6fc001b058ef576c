package portmap

import (
	"net/netip"
	"testing"
)

func TestWhoseSearchAnswerIsRead(t *testing.T) {
	for _, c := range []struct {
		local, gateway, sender string
		want                   bool
	}{
		{"192.168.1.10", "192.168.1.1", "192.168.1.1", true},
		{"192.168.1.10", "192.168.1.1", "192.168.1.2", false},
		{"2a00:1::10", "fe80::1%eth0", "fe80::1%eth0", true},
		{"2a00:1::10", "fe80::1%eth0", "fe80::1%eth1", false},
		{"2a00:1::10", "fe80::1%eth0", "fe80::2%eth0", false},
		{"2a00:1::10", "fe80::1%eth0", "2a00:1::1", true},
		{"2a00:1::10", "fe80::1%eth0", "2a00:2::1", false},
		{"2a00:1::10", "fe80::1%eth0", "192.168.1.1", false},
	} {
		got := ofGateway(netip.MustParseAddr(c.sender), netip.MustParseAddr(c.local), netip.MustParseAddr(c.gateway))
		if got != c.want {
			t.Errorf("from %s, for %s behind %s: %v", c.sender, c.local, c.gateway, got)
		}
	}
}
