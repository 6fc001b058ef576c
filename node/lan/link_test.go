package lan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func link(name string, index int, addrs ...string) Link {
	l := Link{Name: name, Index: index}
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, netip.MustParsePrefix(a))
	}
	return l
}

func TestToward(t *testing.T) {
	l := link("eth0", 2, "192.168.1.10/24", "10.0.0.1/31", "2001:db8::5/64", "fe80::5/64")
	for a, want := range map[string]string{
		"192.168.1.20":   "192.168.1.10",
		"192.168.1.10":   "192.168.1.10", // another node of this machine
		"192.168.1.0":    "",
		"192.168.1.255":  "", // broadcast
		"192.168.2.20":   "",
		"10.0.0.0":       "10.0.0.1", // RFC 3021
		"10.0.0.2":       "",
		"8.8.8.8":        "",
		"fe80::9":        "fe80::5%eth0",
		"fe80::9%eth0":   "fe80::5%eth0",
		"2001:db8::9":    "", // its network may have more than one link
		"::1":            "",
		"127.0.0.1":      "",
		"::ffff:8.8.8.8": "",
	} {
		got, ok := l.toward(netip.MustParseAddr(a))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("toward %s: %v, %v; want %q", a, got, ok, want)
		}
	}
}

func TestSources(t *testing.T) {
	for name, tt := range map[string]struct {
		link Link
		want []string
	}{
		"both families":  {link("eth0", 2, "192.168.1.10/24", "2001:db8::5/64", "fe80::5/64"), []string{"192.168.1.10", "fe80::5%eth0"}},
		"one a network":  {link("eth0", 2, "192.168.1.10/24", "192.168.1.11/24", "10.0.0.1/8"), []string{"192.168.1.10", "10.0.0.1"}},
		"no more than 3": {link("eth0", 2, "10.1.0.1/24", "10.2.0.1/24", "10.3.0.1/24", "10.4.0.1/24"), []string{"10.1.0.1", "10.2.0.1", "10.3.0.1"}},
		"none":           {link("eth0", 2, "2001:db8::5/64"), nil},
	} {
		var got []string
		for _, a := range tt.link.sources() {
			got = append(got, a.String())
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestLinkOf(t *testing.T) {
	links := []Link{link("eth0", 2, "192.168.1.10/24"), link("wlan0", 3, "192.168.1.20/24", "10.9.0.1/16")}
	for name, tt := range map[string]struct {
		a    arrival
		want string
	}{
		"on the first":         {arrival{told: true, link: 2, from: netip.MustParseAddrPort("192.168.1.99:5000")}, "192.168.1.10"},
		"on the second":        {arrival{told: true, link: 3, from: netip.MustParseAddrPort("192.168.1.99:5000")}, "192.168.1.20"},
		"of another link":      {arrival{told: true, link: 2, from: netip.MustParseAddrPort("10.9.9.9:5000")}, ""},
		"on a link not ours":   {arrival{told: true, link: 4, from: netip.MustParseAddrPort("192.168.1.99:5000")}, ""},
		"untold":               {arrival{from: netip.MustParseAddrPort("10.9.9.9:5000")}, "10.9.0.1"},
		"untold and elsewhere": {arrival{from: netip.MustParseAddrPort("8.8.8.8:5000")}, ""},
	} {
		_, ours, ok := linkOf(links, tt.a)
		if ok != (tt.want != "") || ok && ours.String() != tt.want {
			t.Errorf("%s: %v, %v", name, ours, ok)
		}
	}
}
