package node

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/address"
)

// place is one local address that may lead somewhere.
type place struct {
	name      string // of the interface
	netIndex  int
	addr      netip.Addr
	preferred bool // the system routes to the internet through it
}

// Place is one local address that a node uses.
type Place struct {
	Interface string // its name
	Addr      netip.Addr
}

// Places lists the local addresses that a node with Config.Interfaces would
// use, best first.
func Places(interfaces []string) ([]Place, error) {
	list, err := places(interfaces)
	if err != nil {
		return nil, err
	}
	var all []Place
	for _, p := range list {
		all = append(all, Place{p.name, p.addr})
	}
	return all, nil
}

// places lists this machine's usable addresses, at most
// address.MaxInterfaces a family, best first.
func places(only []string) ([]place, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing the network interfaces: %w", err)
	}
	for _, name := range only {
		if !slices.ContainsFunc(ifaces, func(i net.Interface) bool { return i.Name == name }) {
			return nil, fmt.Errorf("there is no network interface %q", name)
		}
	}
	var all []place
	for _, i := range ifaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone since
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					all = append(all, place{name: i.Name, netIndex: i.Index, addr: ip.Unmap()})
				}
			}
		}
	}
	up := func(name string) bool {
		return slices.ContainsFunc(ifaces, func(i net.Interface) bool { return i.Name == name && i.Flags&net.FlagUp != 0 })
	}
	all = slices.DeleteFunc(all, func(p place) bool { return !up(p.name) })
	return choosePlaces(all, only, []netip.Addr{routed("udp4", "192.0.2.1:9"), routed("udp6", "[2001:db8::1]:9")}), nil
}

// routed is the address that the system would send from; no packet is sent.
func routed(network, to string) netip.Addr {
	c, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// choosePlaces ranks and cuts what was found. Loopback counts only where it is
// asked for by name or where there is nothing else.
func choosePlaces(all []place, only []string, defaults []netip.Addr) []place {
	usable := slices.DeleteFunc(slices.Clone(all), func(p place) bool {
		if len(only) > 0 {
			return !slices.Contains(only, p.name) || p.addr.IsLinkLocalUnicast()
		}
		return p.addr.IsLoopback() || p.addr.IsLinkLocalUnicast() || p.addr.IsMulticast() || p.addr.IsUnspecified()
	})
	if len(usable) == 0 && len(only) == 0 {
		usable = slices.DeleteFunc(slices.Clone(all), func(p place) bool { return !p.addr.IsLoopback() })
	}
	for n := range usable {
		usable[n].preferred = slices.Contains(defaults, usable[n].addr)
	}
	rank := func(p place) int {
		switch {
		case len(only) > 0:
			return slices.Index(only, p.name)
		case p.preferred:
			return 0
		case virtual(p.name):
			return 2 // a container's or a hypervisor's bridge leads nowhere else
		}
		return 1
	}
	slices.SortStableFunc(usable, func(a, b place) int { return cmp.Compare(rank(a), rank(b)) })
	count := map[bool]int{}
	return slices.DeleteFunc(usable, func(p place) bool {
		count[p.addr.Is4()]++
		return count[p.addr.Is4()] > address.MaxInterfaces || len(only) == 0 && !p.preferred && virtual(p.name)
	})
}

// virtual reports whether a name is one that containers and hypervisors give
// to their bridges.
func virtual(name string) bool {
	for _, prefix := range []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "lxc", "lxd", "podman", "vmnet", "vboxnet", "cali"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
