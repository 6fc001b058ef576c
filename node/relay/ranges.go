package relay

import (
	"net/netip"
	"slices"
)

// local are networks that are no one's to reach through a relay on the
// internet: from there they lead into the relay's own site. Documentation
// ranges (RFC 5737, 3849) and that for benchmarks are not among them: they lead
// nowhere, and laboratories are built of them.
var local = prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"100.64.0.0/10", // carrier-grade NAT, RFC 6598
	"127.0.0.0/8", "::1/128",
	"fc00::/7", // RFC 4193
)

// nowhere are networks that no peer has, wherever the relay is.
var nowhere = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128", // metadata services
	"::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
	"100::/64", "fe80::/10", "fec0::/10", "ff00::/8",
)

// mayReach reports whether a relay may let a into an allocation.
func mayReach(a netip.Addr, private bool) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if within(a, local) && !within(a, nowhereInside) {
		return private
	}
	return !within(a, nowhere)
}

// Public reports whether a is an address on the internet: what others are
// Servers let in only where they serve their own network.
func Public(a netip.Addr) bool { return mayReach(a, false) }

// nowhereInside are those of nowhere that lie within local ones.
var nowhereInside = prefixes("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::254/128")

func within(a netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for n, s := range list {
		parsed[n] = netip.MustParsePrefix(s)
	}
	return parsed
}
