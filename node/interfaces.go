package node

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/address"
)

// place is one local address that may lead somewhere.
type place struct {
	name      string // of the interface
	netIndex  int
	addr      netip.Addr
	inner     netip.Addr // the interface's unique local IPv6 address where addr is a global one; else zero
	preferred bool       // the system routes to the internet through it
	// stub is set where nothing leads on to the internet, as far as the system
	// tells: a bridge of containers, or a second network without a router.
	stub bool
	// device is set where the system would send what leaves from addr by
	// another interface: sockets must then be bound to this one.
	device string
}

// Place is one local address from which a node asks for the way to the internet.
type Place struct {
	Interface string // its name
	Addr      netip.Addr
	device    string
}

// Control, as in net.Dialer, has a socket at Addr leave by the right interface,
// which it would not on a host with several uplinks.
func (p Place) Control(_, _ string, c syscall.RawConn) error { return bindTo(p.device, c) }

// Places lists the local addresses from which a node with Config.Interfaces
// would ask, best first.
func Places(interfaces []string) ([]Place, error) {
	list, err := places(interfaces)
	if err != nil {
		return nil, err
	}
	var all []Place
	for _, p := range newSurroundings(list).uplinks() {
		all = append(all, Place{p.name, p.addr, p.device})
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
	passing := passingAddrs()
	all = slices.DeleteFunc(all, func(p place) bool { return passing[p.addr] })
	up := func(name string) bool {
		return slices.ContainsFunc(ifaces, func(i net.Interface) bool { return i.Name == name && i.Flags&net.FlagUp != 0 })
	}
	all = slices.DeleteFunc(all, func(p place) bool { return !up(p.name) })
	lookUpRoutes(all)
	return choosePlaces(all, only, []netip.Addr{routed("udp4", towards4.String()), routed("udp6", towards6.String())}), nil
}

// towards4 and towards6 stand for the internet when the system is asked for its
// routes (RFC 5737, RFC 3849). Nothing is sent there.
var towards4, towards6 = netip.MustParseAddrPort("192.0.2.1:9"), netip.MustParseAddrPort("[2001:db8::1]:9")

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
// asked for by name or where there is nothing else. Link-local addresses never
// do: they mean nothing without a zone, which no address has.
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
	usable = mergeSix(usable)
	rank := func(p place) int {
		switch {
		case len(only) > 0:
			return slices.Index(only, p.name)
		case p.preferred:
			return 0
		case virtual(p.name):
			return 3 // a container's or a hypervisor's bridge leads nowhere else
		case p.stub:
			return 2
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

// mergeSix leaves one place of the IPv6 addresses that one interface has in one
// /64, which lead to the same host by the same way: the preferred one, or the
// first. Unique local addresses become the inner ones of a global address.
func mergeSix(list []place) []place {
	var merged []place
	for _, p := range list {
		same := func(o place) bool {
			a, _ := o.addr.Prefix(64)
			return p.addr.Is6() && o.addr.Is6() && o.name == p.name && a.Contains(p.addr)
		}
		if k := slices.IndexFunc(merged, same); k < 0 {
			merged = append(merged, p)
		} else if p.preferred {
			merged[k] = p
		}
	}
	local := func(p place) bool { return p.addr.Is6() && p.addr.IsPrivate() }
	for k, p := range merged {
		if !p.addr.Is6() || !p.addr.IsGlobalUnicast() || local(p) {
			continue
		}
		if u := slices.IndexFunc(merged, func(o place) bool { return local(o) && o.name == p.name }); u >= 0 {
			merged[k].inner = merged[u].addr
		}
	}
	return slices.DeleteFunc(slices.Clone(merged), func(p place) bool {
		return local(p) && slices.ContainsFunc(merged, func(o place) bool { return o.inner == p.addr })
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
