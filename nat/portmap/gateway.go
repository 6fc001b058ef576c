package portmap

import (
	"fmt"
	"net/netip"
)

// gatewayOf finds the router of the interface with that address.
func gatewayOf(local netip.Addr) (netip.Addr, error) {
	g, err := routedGateway(local)
	if err != nil {
		return g, fmt.Errorf("looking for the gateway of %v: %w", local, err)
	}
	return g, checkGateway(local, g)
}

// checkGateway refuses a gateway that is no router of a home or an office:
// anything else is somebody's server.
func checkGateway(local, g netip.Addr) error {
	if !g.IsValid() || !g.IsPrivate() && !g.IsLinkLocalUnicast() || g.Is4() != local.Is4() {
		return fmt.Errorf("gateway %v of %v is not one of a private network", g, local)
	}
	return nil
}
