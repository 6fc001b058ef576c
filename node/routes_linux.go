package node

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lookUpRoutes notes in each place whether anything leads on from it, and
// whether the system would send its packets by another interface: a host with
// two uplinks routes by destination alone, so that what leaves from the second
// one's address goes out by the first, where the router drops it. Whoever sends
// everything through a tunnel wants nothing to pass beside it, so nothing does.
// What can't be found out is left as it is.
func lookUpRoutes(list []place) {
	onward := map[bool][]defaultRoute{true: defaultRoutes(unix.AF_INET), false: defaultRoutes(unix.AF_INET6)}
	for k, p := range list {
		routes := onward[p.addr.Is4()]
		if p.addr.IsLoopback() || p.addr.IsLinkLocalUnicast() {
			continue
		}
		by := linkFrom(p.addr)
		if by == p.netIndex {
			continue
		}
		mine := slices.IndexFunc(routes, func(r defaultRoute) bool { return r.link == p.netIndex })
		if mine < 0 {
			list[k].stub = true
			continue
		}
		rival := slices.Contains(routes, defaultRoute{by, routes[mine].table})
		if rival && !isTunnel(by) {
			list[k].device = p.name
		}
	}
}

// defaultRoute is one by an interface, in a table of the kernel's.
type defaultRoute struct{ link, table int }

func defaultRoutes(family int) []defaultRoute {
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil
	}
	var all []defaultRoute
	for _, r := range routes {
		if r.Type != unix.RTN_UNICAST {
			continue // IPv6 has an unreachable one of its own
		}
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones > 0 {
				continue
			}
		}
		if r.LinkIndex > 0 {
			all = append(all, defaultRoute{r.LinkIndex, r.Table})
		}
		for _, hop := range r.MultiPath {
			all = append(all, defaultRoute{hop.LinkIndex, r.Table})
		}
	}
	return all
}

// isTunnel reports whether an interface leads into a VPN, by its kind or by the
// name that programs give to theirs.
func isTunnel(index int) bool {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return true // nothing is bound on a guess
	}
	if link.Type() == "wireguard" {
		return true
	}
	return slices.ContainsFunc([]string{"tun", "tap", "wg", "ppp", "ipsec", "vti", "xfrm", "tailscale", "zt", "nordlynx", "proton"}, func(prefix string) bool {
		return strings.HasPrefix(link.Attrs().Name, prefix)
	})
}

// linkFrom is the interface by which packets from addr leave for the internet;
// 0 where they do not.
func linkFrom(addr netip.Addr) int {
	to := towards4
	if addr.Is6() {
		to = towards6
	}
	routes, err := netlink.RouteGetWithOptions(to.Addr().AsSlice(), &netlink.RouteGetOptions{SrcAddr: addr.AsSlice()})
	if err != nil || len(routes) == 0 {
		return 0
	}
	return routes[0].LinkIndex
}

// passingAddrs are the addresses that are not to be used any more, or not yet:
// deprecated ones, and those that may turn out to be another's (RFC 4862 §5.4
// and §5.5.4).
func passingAddrs() map[netip.Addr]bool {
	const passing = unix.IFA_F_TENTATIVE | unix.IFA_F_DEPRECATED | unix.IFA_F_DADFAILED
	list, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		return nil
	}
	addrs := make(map[netip.Addr]bool)
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && a.Flags&passing != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0 {
			addrs[ip] = true
		}
	}
	return addrs
}

// bindTo has a socket use one interface, whatever the routes say; none for "".
// It takes no privilege since Linux 5.7.
func bindTo(device string, c syscall.RawConn) error {
	if device == "" {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), device) })
	if err == nil {
		err = failed
	}
	return err
}
