package node

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
)

// iface reads "external internal type [delta]", such as "52.10.1.10 192.168.1.10
// 5"; the port is 4000.
func iface(index int, text string) address.Interface {
	i := address.Interface{Index: index, Port: 4000, Delta: nat.Delta{Kind: nat.NotApplicable}}
	var external, internal string
	delta := nat.Equal
	if n, err := fmt.Sscan(text, &external, &internal, &i.NAT, &delta); n < 3 {
		panic(err)
	}
	i.External, i.Internal = netip.MustParseAddr(external), netip.MustParseAddr(internal)
	if i.NAT.Translates() {
		i.Delta.Kind = delta
	}
	if delta == nat.Independent {
		i.Delta.Value = 1
	}
	return i
}

func addressOf(machine string, ifaces ...string) address.Address {
	a := address.Address{MachineID: machine}
	for k, text := range ifaces {
		if i := iface(k, text); i.External.Is4() {
			a.V4 = append(a.V4, i)
		} else {
			a.V6 = append(a.V6, i)
		}
	}
	return a
}

func TestDialable(t *testing.T) {
	const (
		lan    = "52.10.1.10 192.168.1.10 5"
		bridge = "172.17.0.1 172.17.0.1 7"
		ula    = "2a00:1:1::a fd00:1:2:3::a 2"
	)
	for name, c := range map[string]struct {
		self, peer address.Address
		want       string
	}{
		"another network": {addressOf("a", lan), addressOf("b", "53.10.1.10 192.168.1.10 5"), "53.10.1.10:4000"},
		"same NAT, inner first": {
			addressOf("a", lan), addressOf("b", "52.10.1.10 192.168.1.11 5"), "192.168.1.11:4000 52.10.1.10:4000",
		},
		"bridges are the same everywhere": {
			addressOf("a", lan, bridge), addressOf("b", "52.10.1.10 192.168.1.11 5", bridge), "192.168.1.11:4000 52.10.1.10:4000",
		},
		"bridges of another network": {
			addressOf("a", lan, bridge), addressOf("b", "53.10.1.10 192.168.1.10 5", bridge, "10.88.0.1 10.88.0.1 7"), "53.10.1.10:4000",
		},
		"a second network of the same site": {
			addressOf("a", lan), addressOf("b", "52.10.1.10 192.168.1.11 5", "10.5.0.1 10.5.0.1 7"), "192.168.1.11:4000 52.10.1.10:4000 10.5.0.1:4000",
		},
		"nobody was asked": {addressOf("a", "192.168.1.10 192.168.1.10 7"), addressOf("b", "192.168.1.11 192.168.1.11 7"), "192.168.1.11:4000"},
		"strangers get in there": {
			addressOf("a", lan, ula), addressOf("b", "53.10.1.10 192.168.1.10 6", "54.10.1.10 192.168.2.10 3", "2a00:2:1::a 2a00:2:1::a 1"),
			"54.10.1.10:4000 [2a00:2:1::a]:4000 53.10.1.10:4000",
		},
		"unique local, same site":    {addressOf("a", ula), addressOf("b", "2a00:1:1::b fd00:1:2:4::b 2"), "[fd00:1:2:4::b]:4000 [2a00:1:1::b]:4000"},
		"unique local, another site": {addressOf("a", ula), addressOf("b", "2a00:2:1::b fd00:9:2:3::b 2"), "[2a00:2:1::b]:4000"},
		"unique local, nothing else": {addressOf("a", ula), addressOf("b", "fd00:1:2:3::b fd00:1:2:3::b 7"), "[fd00:1:2:3::b]:4000"},
		"link-local":                 {addressOf("a", "2a00:1:1::a 2a00:1:1::a 2"), addressOf("b", "2a00:1:1::b fe80::b 2", "fe80::c fe80::c 7"), "[2a00:1:1::b]:4000"},
		"metadata services, loopback": {
			addressOf("a", lan), addressOf("b", "169.254.169.254 192.168.1.10 2", "168.63.129.16 192.168.1.10 2", "127.0.0.1 192.168.1.10 2"), "",
		},
		"no family in common": {addressOf("a", lan), addressOf("b", "2a00:1:1::b 2a00:1:1::b 1"), ""},
		"same machine": {
			addressOf("a", "52.10.1.10 52.10.1.10 5"), func() address.Address {
				a := addressOf("a", "52.10.1.10 52.10.1.10 5")
				a.V4[0].Port = 5000
				return a
			}(), "52.10.1.10:5000 127.0.0.1:5000",
		},
		"ourselves": {addressOf("a", "192.168.1.10 192.168.1.10 7"), addressOf("b", "192.168.1.10 192.168.1.10 7"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range dialable(c.self, c.peer) {
				got = append(got, e.String())
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}

func TestPunchable(t *testing.T) {
	const (
		random   = "52.10.1.10 192.168.1.10 6 6"
		counting = "52.10.1.10 192.168.1.10 6 4"
		fine     = "53.10.1.10 192.168.2.10 5"
		fine2    = "55.10.1.10 192.168.3.10 5"
		guarded  = "2a00:1:1::a 2a00:1:1::a 2"
	)
	for name, c := range map[string]struct {
		self, peer address.Address
		want       string // for each family the indices of ours and theirs
	}{
		"one each":                {addressOf("", fine), addressOf("", "60.10.1.10 10.0.0.1 5"), "0-0"},
		"the better NAT first":    {addressOf("", counting, fine), addressOf("", "60.10.1.10 10.0.0.1 5"), "1-0 0-0"},
		"a birthday last":         {addressOf("", random, counting), addressOf("", "60.10.1.10 10.0.0.1 5"), "1-0 0-0"},
		"what cannot meet, not":   {addressOf("", random, fine), addressOf("", "60.10.1.10 10.0.0.1 6 4"), "1-0"},
		"unless there is only it": {addressOf("", random), addressOf("", "60.10.1.10 10.0.0.1 6 6"), "0-0"},
		"theirs too":              {addressOf("", fine), addressOf("", "60.10.1.10 10.0.0.1 6 4", "61.10.1.10 10.0.1.1 5"), "0-1 0-0"},
		"equals by order":         {addressOf("", fine, fine2), addressOf("", "60.10.1.10 10.0.0.1 5", "61.10.1.10 10.0.1.1 5"), "0-0 1-0"},
		"same external, not":      {addressOf("", fine, fine2), addressOf("", "53.10.1.10 10.0.0.1 5"), "1-0"},
		"both families":           {addressOf("", random, guarded), addressOf("", "60.10.1.10 10.0.0.1 6 6", "2a00:2:1::a 2a00:2:1::a 2"), "0-0 / 1-1"},
		"unique local, not":       {addressOf("", "fd00::a fd00::a 7"), addressOf("", "fd00::b fd00::b 7"), ""},
		"no family in common":     {addressOf("", fine), addressOf("", guarded), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var families []string
			for _, pairs := range punchable(c.self, c.peer, func(i address.Interface) time.Duration {
				return time.Duration(10-i.Index) * time.Millisecond // less telling than the order
			}) {
				var some []string
				for _, p := range pairs {
					some = append(some, fmt.Sprintf("%d-%d", p.ours.Index, p.theirs.Index))
				}
				families = append(families, strings.Join(some, " "))
			}
			if s := strings.Join(families, " / "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
	// Of two that stand equally far back in the lists, the measured one is better.
	self := addressOf("", fine, fine2)
	peer := addressOf("", "60.10.1.10 10.0.0.1 5", "61.10.1.10 10.0.1.1 5")
	for _, faster := range []int{0, 1} {
		got := punchable(self, peer, func(i address.Interface) time.Duration {
			if i.Index == faster {
				return time.Millisecond
			}
			return time.Second
		})[0]
		if got[1].ours.Index != faster {
			t.Errorf("second comes ours %d, want %d", got[1].ours.Index, faster)
		}
	}
}

func TestChoosePlaces(t *testing.T) {
	at := func(name, addr string) place { return place{name: name, addr: netip.MustParseAddr(addr)} }
	stub := func(name, addr string) place { p := at(name, addr); p.stub = true; return p }
	for name, c := range map[string]struct {
		all  []place
		only []string
		want string
	}{
		"the default route first": {[]place{at("wlan0", "192.168.2.10"), at("eth0", "192.168.1.10")}, nil, "192.168.1.10 192.168.2.10"},
		"bridges not": {
			[]place{at("docker0", "172.17.0.1"), at("lo", "127.0.0.1"), at("eth0", "192.168.1.10")}, nil, "192.168.1.10",
		},
		"what leads nowhere last": {
			[]place{stub("vlan5", "10.5.0.1"), at("wlan0", "192.168.2.10"), at("eth0", "192.168.1.10")}, nil, "192.168.1.10 192.168.2.10 10.5.0.1",
		},
		"three of a family": {
			[]place{at("a", "10.0.0.1"), at("b", "10.0.1.1"), at("c", "10.0.2.1"), at("eth0", "192.168.1.10"), at("eth0", "2a00:1::a")}, nil,
			"192.168.1.10 2a00:1::a 10.0.0.1 10.0.1.1",
		},
		"link-local not": {[]place{at("eth0", "fe80::1"), at("eth0", "169.254.1.1"), at("eth0", "2a00:1::a")}, nil, "2a00:1::a"},
		"one of each /64, with its unique local one": {
			[]place{at("eth0", "2a00:1::b"), at("eth0", "fd00:1::a"), at("eth0", "2a00:1::a"), at("eth0", "2a00:1:0:1::a")}, nil,
			"2a00:1::a(fd00:1::a) 2a00:1:0:1::a(fd00:1::a)",
		},
		"unique local alone": {[]place{at("eth0", "fd00:1::a"), at("wlan0", "2a00:2::a")}, nil, "fd00:1::a 2a00:2::a"},
		"by name":            {[]place{at("eth0", "192.168.1.10"), at("docker0", "172.17.0.1"), at("docker0", "fe80::1")}, []string{"docker0"}, "172.17.0.1"},
		"loopback alone":     {[]place{at("lo", "127.0.0.1"), at("eth0", "fe80::1")}, nil, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			defaults := []netip.Addr{netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("2a00:1::a")}
			var got []string
			for _, p := range choosePlaces(c.all, c.only, defaults) {
				s := p.addr.String()
				if p.inner.IsValid() {
					s += "(" + p.inner.String() + ")"
				}
				got = append(got, s)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

// What an address says of an IPv6 place.
func TestIPv6InTheAddress(t *testing.T) {
	global, local := netip.MustParseAddr("2a00:1::a"), netip.MustParseAddr("fd00:1::a")
	for name, c := range map[string]struct {
		place   place
		report  nat.Report
		hideLAN bool
		want    string
	}{
		"no server over IPv6": {place{addr: global}, nat.Report{}, false, "2a00:1::a 2a00:1::a symmetric firewall"},
		"with a unique local one": {
			place{addr: global, inner: local}, nat.Report{External: global, Type: nat.Open}, false, "2a00:1::a fd00:1::a open internet",
		},
		"hidden":             {place{addr: global, inner: local}, nat.Report{}, true, "2a00:1::a 2a00:1::a symmetric firewall"},
		"unique local alone": {place{addr: local}, nat.Report{}, false, "fd00:1::a fd00:1::a blocked"},
		"hidden altogether":  {place{addr: local}, nat.Report{}, true, ""},
		"leads nowhere":      {place{addr: global, stub: true}, nat.Report{}, false, "2a00:1::a 2a00:1::a blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSurroundings([]place{c.place})
			s.put(c.place.addr, c.report)
			got := ""
			if _, v6 := s.interfaces(4000, c.hideLAN); len(v6) > 0 {
				got = fmt.Sprintf("%v %v %v", v6[0].External, v6[0].Internal, v6[0].NAT)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Every endpoint is dialled by route first, and by other uplinks later.
func TestWaysTo(t *testing.T) {
	places := []place{{addr: netip.MustParseAddr("192.168.1.10")}, {addr: netip.MustParseAddr("192.168.2.10"), device: "wlan0"}}
	var to []netip.AddrPort
	for _, e := range []string{"192.168.1.11:4000", "52.10.1.10:4000", "[2a00:1::a]:4000"} {
		to = append(to, netip.MustParseAddrPort(e))
	}
	got, want := fmt.Sprint(waysTo(to, places)), "[192.168.1.11:4000 52.10.1.10:4000 [2a00:1::a]:4000 52.10.1.10:4000 by wlan0]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Places that lead nowhere are not asked about, unless there are no others.
func TestUplinks(t *testing.T) {
	eth, bridge := place{name: "eth0", addr: netip.MustParseAddr("192.168.1.10")}, place{name: "x", addr: netip.MustParseAddr("10.0.0.1"), stub: true}
	if up := newSurroundings([]place{eth, bridge}).uplinks(); !slices.Equal(up, []place{eth}) {
		t.Errorf("%v", up)
	}
	if up := newSurroundings([]place{bridge}).uplinks(); !slices.Equal(up, []place{bridge}) {
		t.Errorf("%v", up)
	}
}
