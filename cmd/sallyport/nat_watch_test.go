package main

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/portmap"
)

func TestNATChanges(t *testing.T) {
	at := func(change func(*natInterface)) *natSurvey {
		i := natInterface{
			Interface: "eth0", Family: "IPv4", Local: netip.MustParseAddr("192.168.1.2"),
			External: "203.0.113.7", Type: "full cone", delta: nat.Delta{Kind: nat.Equal},
		}
		change(&i)
		return &natSurvey{Interfaces: []natInterface{i}}
	}
	plain := at(func(*natInterface) {})
	const eth0 = "eth0, IPv4, 192.168.1.2: "
	for _, c := range []struct {
		name        string
		before, now *natSurvey
		want        []string
	}{
		{"the first", nil, plain, nil},
		{"nothing", plain, plain, nil},
		{"what always differs", plain, at(func(i *natInterface) { i.TookMS, i.Confidence = 5, 0.3 }), nil},
		{"type", plain, at(func(i *natInterface) { i.Type = "symmetric" }), []string{eth0 + "type symmetric, was full cone"}},
		{"router", plain, at(func(i *natInterface) {
			i.Router.Offers = []natOffer{{Protocol: portmap.PCP, Offered: true}, {Protocol: portmap.UPnP, Error: "no answer"},
				{Protocol: portmap.NATPMP, Offered: true, External: "203.0.113.7"}}
		}), []string{eth0 + "router offers PCP, NAT-PMP 203.0.113.7, was none"}},
		{"offline", plain, at(func(i *natInterface) { i.Error, i.External = "no STUN server answered", "" }), []string{
			eth0 + "error no STUN server answered, was none", eth0 + "seen as none, was 203.0.113.7"}},
		{"gone", plain, &natSurvey{}, []string{"eth0, IPv4, 192.168.1.2: gone"}},
		{"new", &natSurvey{}, plain, []string{"eth0, IPv4, 192.168.1.2: new, full cone"}},
	} {
		if got := natChanges(c.before, c.now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
