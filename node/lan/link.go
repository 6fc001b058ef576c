package lan

import (
	"net/netip"
)

// Link is a network interface on which nodes may be.
type Link struct {
	Name  string
	Index int
	Addrs []netip.Prefix // the host's own addresses there, each with its network
}

const (
	// MaxLinks is how many links are used at most: Linux lets a socket join 20
	// groups.
	MaxLinks = 8
	// maxSources is how many addresses of one link are asked from.
	maxSources = 3
)

// sources are the host's addresses from which all of the link is asked: one in
// each IPv4 network, and a link-local one.
func (l Link) sources() []netip.Addr {
	var all []netip.Addr
	asked := map[netip.Prefix]bool{}
	for _, p := range l.Addrs {
		a, network := p.Addr().Unmap(), p.Masked()
		if a.Is6() && !a.IsLinkLocalUnicast() {
			continue
		}
		if a.Is6() {
			a = a.WithZone(l.Name)
		}
		if !asked[network] && len(all) < maxSources {
			asked[network] = true
			all = append(all, a)
		}
	}
	return all
}

// toward gives the host's address that has a for a neighbour, of the link; false
// where a can be none. The host itself is its own neighbour.
func (l Link) toward(a netip.Addr) (netip.Addr, bool) {
	a = a.Unmap().WithZone("")
	for _, p := range l.Addrs {
		own := p.Addr().Unmap()
		switch {
		case a.Is4() && own.Is4() && p.Contains(a) && !ofNobody(p, a):
			return own, true
		case a.Is6() && own.Is6() && a.IsLinkLocalUnicast() && own.IsLinkLocalUnicast():
			return own.WithZone(l.Name), true
		}
	}
	return netip.Addr{}, false
}

// ofNobody reports whether a is the address of the IPv4 network itself or its
// broadcast address, to which nothing may be sent.
func ofNobody(p netip.Prefix, a netip.Addr) bool {
	if p.Bits() >= 31 { // RFC 3021
		return false
	}
	host := uint32(1)<<(32-p.Bits()) - 1
	b := a.As4()
	n := (uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])) & host
	return n == 0 || n == host
}
