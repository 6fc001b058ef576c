package reflector

import (
	"net/netip"
	"slices"
)

// class is what an address is good for on a stranger's word.
type class uint8

const (
	outer    class = iota // somewhere on the internet
	inner                 // on a private network: RFC 1918, RFC 4193, RFC 6598
	loopback              // this machine
	never                 // nothing that a peer can be behind
)

// inners are the networks that mean something else at every site.
var inners = prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"100.64.0.0/10", // carrier-grade NAT, RFC 6598
	"fc00::/7",      // RFC 4193
)

// nevers are never dialled, whoever asks. Documentation and benchmark ranges
// (RFC 5737, 3849, 2544) are not among them: they lead nowhere on the internet,
// and laboratories are built of them.
var nevers = prefixes(
	"0.0.0.0/8",      // this network, RFC 791; Linux takes 0.0.0.0 for itself
	"169.254.0.0/16", // link-local, RFC 3927, and the metadata services of most clouds
	"192.0.0.0/24",   // RFC 6890, and Oracle's metadata service
	"224.0.0.0/4",    // multicast
	"240.0.0.0/4",    // reserved, and broadcast

	"100.100.100.200/32", // metadata services that stand elsewhere: Alibaba,
	"168.63.129.16/32",   // Azure,
	"fd00:ec2::/32",      // AWS,
	"fd20:ce::254/128",   // Google

	"::/96",         // unspecified and IPv4-compatible; ::1 is looked at before
	"::ffff:0:0/96", // IPv4 in other dress: mapped,
	"64:ff9b::/96",  // NAT64, RFC 6052,
	"64:ff9b:1::/48",
	"2002::/16", // 6to4, RFC 3056,
	"2001::/32", // Teredo, RFC 4380
	"100::/64",  // discard, RFC 6666
	"fe80::/10", // link-local
	"fec0::/10", // site-local, RFC 3879
	"ff00::/8",  // multicast
)

func classify(a netip.Addr) class {
	switch {
	case !a.IsValid(), a.Zone() != "":
		return never
	case a.IsLoopback() && !a.Is4In6():
		return loopback
	case within(a, nevers):
		return never
	case within(a, inners):
		return inner
	}
	return outer
}

// Nobody reports whether no peer can have a: it is dialled on nobody's word, not
// even on that of a peer that we call. Loopback is not among these.
func Nobody(a netip.Addr) bool { return classify(a) == never }

func within(a netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// site is what a budget is kept for: an IPv4 address, or the /64 that one host
// has to itself.
func site(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // a is valid and without zone
	return p
}

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for n, s := range list {
		parsed[n] = netip.MustParsePrefix(s)
	}
	return parsed
}
