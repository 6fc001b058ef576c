package reflector

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/signaling"
)

// at makes an address with one interface.
func at(external, internal string, port uint16, machine string) address.Address {
	e, i := netip.MustParseAddr(external), netip.MustParseAddr(internal)
	in := address.Interface{External: e, Internal: i, Port: port, NAT: nat.PortRestricted}
	if e.Is4() {
		return address.Address{V4: []address.Interface{in}, MachineID: machine}
	}
	return address.Address{V6: []address.Interface{in}, MachineID: machine}
}

func endpoints(list ...string) (eps []netip.AddrPort) {
	for _, s := range list {
		eps = append(eps, netip.MustParseAddrPort(s))
	}
	return eps
}

// Neighbours share an external address, or over IPv6 a /64.
func TestNearOverIPv6(t *testing.T) {
	us := at("2a01:4f8:1:2::9", "2a01:4f8:1:2::9", 4001, "me")
	for external, want := range map[string]int{"2a01:4f8:1:2::77": 1, "2a01:4f8:1:3::77": 0} {
		p := New(Config{}).Vet(start, Request{
			Level: signaling.Open, Self: us, Peer: at(external, "fd12:3456::77", 4001, "other"), Dest: endpoints("[fd12:3456::77]:4001"),
		})
		if len(p.Dest) != want {
			t.Errorf("%s: may dial %v, refused %v", external, p.Dest, p.Refused)
		}
	}
}

// TestDestinations names for every kind of address who may have it dialled.
func TestDestinations(t *testing.T) {
	type who struct {
		name  string
		level signaling.Level
		peer  address.Address
		lan   bool
	}
	stranger := who{"stranger", signaling.Stranger, same, true}
	open := who{"open, far", signaling.Open, far, false}
	beside := who{"open, behind our address", signaling.Open, nearby, false}
	heard := who{"open, heard on the LAN", signaling.Open, far, true}
	local := who{"open, on this machine", signaling.Open, same, false}
	liar := who{"open, far, claims this machine", signaling.Open, at("88.99.0.9", "10.0.0.1", 1, "me"), false}
	listed := who{"listed, far", signaling.Listed, far, false}
	housemate := who{"listed, on this machine", signaling.Listed, same, false}
	all := []who{stranger, open, beside, heard, local, liar, listed, housemate}

	near := []who{beside, heard, local, listed, housemate}
	admitted := []who{open, beside, heard, local, liar, listed, housemate}
	onListOnly := []who{listed, housemate}
	sameMachine := []who{local, housemate}
	cases := []struct {
		dest string
		may  []who
	}{
		{"88.99.0.9:4001", admitted},
		{"88.99.0.9:22", admitted}, // peers may well listen on 443
		{"[2a01:4f8::9]:4001", admitted},
		{"198.51.100.9:4001", admitted}, // documentation: leads nowhere
		{"88.99.0.9:0", nil},
		{"51.15.0.1:4001", nil}, // ourselves
		{"192.168.1.2:4001", nil},
		{"51.15.0.1:4002", admitted}, // a neighbour, if the NAT hairpins

		{"192.168.1.77:4001", near},
		{"10.1.2.3:4001", near},
		{"172.16.0.1:4001", near},
		{"172.31.255.255:4001", near},
		{"172.32.0.1:4001", admitted},
		{"100.64.0.1:4001", near},
		{"[fd12:3456::1]:4001", near},
		{"192.168.1.1:80", onListOnly},
		{"192.168.1.1:1023", onListOnly},
		{"192.168.1.1:1024", near},

		{"127.0.0.1:4002", sameMachine},
		{"127.9.9.9:4002", sameMachine},
		{"[::1]:4002", sameMachine},
		{"127.0.0.1:22", []who{housemate}},

		{"0.0.0.0:4001", nil},
		{"0.1.2.3:4001", nil},
		{"169.254.169.254:80", nil},
		{"169.254.1.1:4001", nil},
		{"192.0.0.192:80", nil},
		{"100.100.100.200:80", nil},
		{"168.63.129.16:80", nil},
		{"224.0.0.251:5353", nil},
		{"239.255.255.250:1900", nil},
		{"240.0.0.1:4001", nil},
		{"255.255.255.255:4001", nil},
		{"[::]:4001", nil},
		{"[::7f00:1]:4001", nil},
		{"[::ffff:127.0.0.1]:4001", nil},
		{"[::ffff:88.99.0.9]:4001", nil},
		{"[64:ff9b::7f00:1]:4001", nil},
		{"[2002:7f00:1::1]:4001", nil},
		{"[2001:0:1::1]:4001", nil},
		{"[100::1]:4001", nil},
		{"[fe80::1]:4001", nil},
		{"[fe80::1%eth0]:4001", nil},
		{"[2a01:4f8::9%eth0]:4001", nil},
		{"[fec0::1]:4001", nil},
		{"[fd00:ec2::254]:80", nil},
		{"[fd20:ce::254]:80", nil},
		{"[ff02::1]:4001", nil},
	}
	for _, c := range cases {
		t.Run(c.dest, func(t *testing.T) {
			for _, w := range all {
				p := New(Config{}).Vet(start, Request{
					Level: w.level, Self: self, Peer: w.peer, LAN: w.lan, Dest: endpoints(c.dest),
				})
				may := slices.ContainsFunc(c.may, func(o who) bool { return o.name == w.name })
				if (len(p.Dest) == 1) != may || (len(p.Refused) == 1) == may {
					t.Errorf("%s: allowed %v, refused %v; want allowed %t", w.name, p.Dest, p.Refused, may)
				}
				spent := p.Spend(start, netip.MustParseAddrPort(c.dest), 1)
				if spent != may {
					t.Errorf("%s: a packet may be spent: %t, want %t", w.name, spent, may)
				}
			}
		})
	}
	if p := New(Config{}).Vet(start, Request{Level: signaling.Listed, Dest: make([]netip.AddrPort, 1)}); len(p.Dest) != 0 {
		t.Error("the empty address is dialled")
	}
	empty := address.Address{V4: []address.Interface{{Port: 1}}} // no external address is no common one
	p := New(Config{}).Vet(start, Request{Level: signaling.Open, Self: empty, Peer: empty, Dest: endpoints("10.0.0.1:4001", "127.0.0.1:4001")})
	if len(p.Dest) != 0 {
		t.Errorf("%v is dialled for a sender without address", p.Dest)
	}
}

func TestMessageDestinations(t *testing.T) {
	dial, from := endpoints("1.2.3.4:5"), endpoints("1.2.3.4:6")
	for _, c := range []struct {
		m    signaling.Message
		want []netip.AddrPort
	}{
		{signaling.Message{Direct: &signaling.Direct{Dial: dial}}, dial},
		{signaling.Message{Punch: &signaling.Punch{From: from, To: dial}}, from},
		{signaling.Message{}, nil},
	} {
		if got := Destinations(c.m); !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}
