//go:build !linux

package portmap

import (
	"errors"
	"net"
	"net/netip"
)

// routedGateway guesses that the router has the first address of the network,
// as most do. For IPv6 there is no such custom.
func routedGateway(local netip.Addr) (netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == local && local.Is4() {
			return p.Masked().Addr().Next(), nil
		}
	}
	return netip.Addr{}, errors.New("not known on this system")
}
