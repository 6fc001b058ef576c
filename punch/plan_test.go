package punch

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPlanValidate(t *testing.T) {
	local := netip.MustParseAddrPort("192.168.1.2:4000")
	remote := netip.MustParseAddrPort("52.1.2.3:4000")
	good := Plan{Local: local, Dial: []netip.AddrPort{remote}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(*Plan)
	}{
		{"no local address", "needs a local address", func(p *Plan) { p.Local = netip.AddrPort{} }},
		{"another family", "cannot be dialled", func(p *Plan) { p.Dial = []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:1")} }},
		{"port 0", "cannot be dialled", func(p *Plan) { p.Dial = []netip.AddrPort{netip.AddrPortFrom(remote.Addr(), 0)} }},
		{"too many ports", "at most 16", func(p *Plan) { p.Dial = make([]netip.AddrPort, 17) }},
		{"too long a wait", "waits at most", func(p *Plan) { p.Wait = time.Minute }},
		{"too many packets", "packets", func(p *Plan) { p.Packets = MaxPackets + 1 }},
		{"TTL", "TTL", func(p *Plan) { p.TTL = 65 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := good
			c.change(&p)
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPlanReads(t *testing.T) {
	local := netip.MustParseAddrPort("192.168.1.2:4000")
	remote := netip.MustParseAddrPort("52.1.2.3:4000")
	for want, p := range map[string]Plan{
		"listen on 192.168.1.2:4000":                                            {Local: local},
		"dial 52.1.2.3:4000 from 192.168.1.2:4000 after 50ms (timed)":           {Local: local, Dial: []netip.AddrPort{remote}, Wait: 50 * time.Millisecond, Why: "timed"},
		"prime 52.1.2.3:4000 from 192.168.1.2:4000 with TTL 2 and 1 more ports": {Local: local, Dial: []netip.AddrPort{remote, remote}, TTL: 2},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
