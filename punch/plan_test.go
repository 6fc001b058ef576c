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
	good := Plan{Tuples: []Tuple{{local, remote}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(*Plan)
	}{
		{"nothing to do", "dials or listens", func(p *Plan) { p.Tuples = nil }},
		{"no local address", "cannot be dialled", func(p *Plan) { p.Tuples = []Tuple{{netip.AddrPort{}, remote}} }},
		{"another family", "cannot be dialled", func(p *Plan) { p.Tuples = []Tuple{{local, netip.MustParseAddrPort("[2001:db8::1]:1")}} }},
		{"port 0", "cannot be dialled", func(p *Plan) { p.Tuples = []Tuple{{local, netip.AddrPortFrom(remote.Addr(), 0)}} }},
		{"too many ports", "at most 16", func(p *Plan) { p.Tuples = make([]Tuple, 17) }},
		{"birthday of two", "one pair", func(p *Plan) { p.Birthday, p.Tuples = &Birthday{Sockets: 1}, make([]Tuple, 2) }},
		{"birthday of both kinds", "either", func(p *Plan) { p.Birthday = &Birthday{Sockets: 1, Dials: 1, Rate: 1} }},
		{"birthday too fast", "at most", func(p *Plan) { p.Birthday = &Birthday{Dials: 10, Rate: BirthdayRate + 1} }},
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
	one := []Tuple{{local, remote}}
	for want, p := range map[string]Plan{
		"listen on 192.168.1.2:4000":                                                {Listen: []netip.AddrPort{local}},
		"dial 52.1.2.3:4000 from 192.168.1.2:4000 after 50ms (timed)":               {Tuples: one, Wait: 50 * time.Millisecond, Why: "timed"},
		"prime 52.1.2.3:4000 from 192.168.1.2:4000 with TTL 2 and 1 more":           {Tuples: []Tuple{one[0], one[0]}, TTL: 2},
		"hold 256 ports open towards 52.1.2.3:4000":                                 {Tuples: one, Birthday: &Birthday{Sockets: 256}},
		"dial up to 9 random ports of 52.1.2.3 from 192.168.1.2:4000 at 3 a second": {Tuples: one, Birthday: &Birthday{Dials: 9, Rate: 3}},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOdds(t *testing.T) {
	if got := Odds(BirthdaySockets, 262); got < 0.64 || got > 0.66 {
		t.Errorf("262 dials at 256 sockets hit with %v", got)
	}
	if got := Odds(BirthdaySockets, BirthdayDials); got < 0.999 {
		t.Errorf("a whole birthday hits with %v", got)
	}
}
