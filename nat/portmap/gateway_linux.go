package portmap

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// routedGateway reads the kernel's table for the default route of the interface
// that has the address local.
func routedGateway(local netip.Addr) (netip.Addr, error) {
	family := netlink.FAMILY_V4
	if local.Is6() {
		family = netlink.FAMILY_V6
	}
	addrs, err := netlink.AddrList(nil, family)
	if err != nil {
		return netip.Addr{}, err
	}
	link := 0
	for _, a := range addrs {
		if a.IP.Equal(net.IP(local.AsSlice())) {
			link = a.LinkIndex
		}
	}
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, r := range routes { // in the order of their metrics
		ones := 0
		if r.Dst != nil {
			ones, _ = r.Dst.Mask.Size()
		}
		if r.LinkIndex != link || ones != 0 || r.Gw == nil {
			continue
		}
		if g, ok := netip.AddrFromSlice(r.Gw); ok {
			g = g.Unmap()
			if i, err := net.InterfaceByIndex(link); err == nil && g.Is6() && g.IsLinkLocalUnicast() {
				g = g.WithZone(i.Name)
			}
			return g, nil
		}
	}
	return netip.Addr{}, errors.New("no default route leads through it")
}
