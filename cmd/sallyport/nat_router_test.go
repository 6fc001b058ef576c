package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/nat/portmap"
)

func TestNATRouter(t *testing.T) {
	gateway, seen, other := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("52.1.2.3"), netip.MustParseAddr("52.9.9.9")
	carrier, none := netip.MustParseAddr("100.64.3.4"), netip.Addr{}
	silent := errors.Join(errors.New("upnp: the router names a URL that is none"), context.DeadlineExceeded)
	no := &portmap.RefusedError{Protocol: portmap.NATPMP, Code: 2, Why: "not authorized"}
	old := &portmap.RefusedError{Protocol: portmap.PCP, Code: 1, Why: "it speaks NAT-PMP only"}
	answers := func(pcp, pmp error, pmpAt netip.Addr, upnp error, upnpAt netip.Addr) portmap.Offer {
		return portmap.Offer{Gateway: gateway, Answers: []portmap.Answer{
			{Protocol: portmap.PCP, Err: pcp}, {Protocol: portmap.NATPMP, External: pmpAt, Err: pmp}, {Protocol: portmap.UPnP, External: upnpAt, Err: upnp},
		}}
	}
	for _, c := range []struct {
		name   string
		offer  portmap.Offer
		err    error
		says   string
		offers string
	}{
		{"all", answers(nil, nil, seen, nil, seen), nil,
			"192.168.1.1 offers to forward a port by PCP, NAT-PMP and UPnP-IGD; --portmap asks it to", "PCP, NAT-PMP 52.1.2.3, UPnP-IGD 52.1.2.3"},
		{"UPnP alone", answers(old, silent, none, nil, seen), nil,
			"192.168.1.1 offers to forward a port by UPnP-IGD; --portmap asks it to", "UPnP-IGD 52.1.2.3"},
		{"none", answers(silent, silent, none, silent, none), nil,
			"192.168.1.1 offers nothing by PCP, NAT-PMP and UPnP-IGD: at most its own settings can forward a port", ""},
		{"a carrier's NAT", answers(silent, portmap.ErrUseless, carrier, portmap.ErrUseless, carrier), nil,
			"192.168.1.1 speaks NAT-PMP and UPnP-IGD, but its own address 100.64.3.4 is not public: another NAT stands behind it, and a port that it forwards leads nowhere", ""},
		{"a carrier's NAT, and PCP", answers(nil, portmap.ErrUseless, carrier, silent, none), nil,
			"192.168.1.1 offers to forward a port by PCP; --portmap asks it to; but it says that its own address is 100.64.3.4, which is not public: another NAT stands behind it, and the port may lead nowhere", "PCP"},
		{"another address", answers(silent, nil, other, silent, none), nil,
			"192.168.1.1 offers to forward a port by NAT-PMP; --portmap asks it to; but it says that its address is 52.9.9.9, which is not what servers see: another NAT may stand behind it, and the port lead nowhere", "NAT-PMP 52.9.9.9"},
		{"refused", answers(old, no, none, silent, none), nil,
			"192.168.1.1 speaks NAT-PMP, but refuses: not authorized", ""},
		{"no router", portmap.Offer{}, errors.New("no default route\x1b[31m\nleads through it"),
			"none was asked for a port: no default route [31m leads through it", ""},
	} {
		r := natRouterOf(c.offer, c.err, netip.MustParseAddr("192.168.1.2"), seen)
		if r.Says != c.says || r.offered() != c.offers {
			t.Errorf("%s: %q offered, says\n%s, want\n%s", c.name, r.offered(), r.Says, c.says)
		}
		var b strings.Builder
		if r.print(&b); b.String() != "  router    "+c.says+"\n" {
			t.Errorf("%s: printed as %q", c.name, b.String())
		}
	}

	r := natRouterOf(answers(old, no, none, nil, seen), nil, netip.MustParseAddr("192.168.1.2"), seen)
	const want = `{"gateway":"192.168.1.1","offers":[` +
		`{"protocol":"pcp","offered":false,"error":"pcp: the router refuses: it speaks NAT-PMP only (1)"},` +
		`{"protocol":"nat-pmp","offered":false,"error":"nat-pmp: the router refuses: not authorized (2)"},` +
		`{"protocol":"upnp","offered":true,"external":"52.1.2.3"}],` +
		`"says":"192.168.1.1 offers to forward a port by UPnP-IGD; --portmap asks it to"}`
	if got, err := json.Marshal(r); err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}

	pinhole := portmap.Offer{Gateway: netip.MustParseAddr("fe80::1%eth0"), Answers: []portmap.Answer{{Protocol: portmap.UPnP}}}
	if r := natRouterOf(pinhole, nil, netip.MustParseAddr("2a01::2"), netip.MustParseAddr("2a01::2")); r.Says != "fe80::1%eth0 offers to let a port in by UPnP-IGD; --portmap asks it to" {
		t.Error(r.Says)
	}
	long := errors.New(strings.Repeat("é", 1000))
	if r := natRouterOf(portmap.Offer{}, long, gateway, seen); len(r.Says) > 300 || !strings.HasSuffix(r.Says, "é") {
		t.Error(r.Says)
	}
}
