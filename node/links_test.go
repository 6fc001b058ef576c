package node

import (
	"net"
	"slices"
	"testing"
)

func TestChooseLinks(t *testing.T) {
	const up, loop, multi = net.FlagUp, net.FlagLoopback, net.FlagMulticast
	all := []net.Interface{
		{Index: 1, Name: "lo", Flags: up | loop},
		{Index: 2, Name: "eth0", Flags: up | multi},
		{Index: 3, Name: "wlan0", Flags: up | multi},
		{Index: 4, Name: "eth1", Flags: multi},               // down
		{Index: 5, Name: "wg0", Flags: up},                   // takes no multicast
		{Index: 6, Name: "docker0", Flags: up | multi},       // leads to containers
		{Index: 7, Name: "br-lan", Flags: up | multi},        // as a router has it
		{Index: 8, Name: "veth12", Flags: up | multi | loop}, // named oddly
	}
	for name, tt := range map[string]struct {
		only, used []string
		want       []string
	}{
		"by default":         {nil, []string{"eth0"}, []string{"eth0", "wlan0"}},
		"the default route":  {nil, []string{"br-lan"}, []string{"eth0", "wlan0", "br-lan"}},
		"nothing but itself": {nil, []string{"lo"}, []string{"lo", "eth0", "wlan0"}},
		"named, in order":    {[]string{"wlan0", "docker0", "lo"}, nil, []string{"wlan0", "docker0", "lo"}},
		"named and down":     {[]string{"eth1", "wg0"}, nil, nil},
	} {
		var got []string
		for _, i := range chooseLinks(all, tt.only, tt.used) {
			got = append(got, i.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
