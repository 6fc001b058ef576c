package natlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	tunPath   = "/dev/net/tun"
	mtu       = 1500
	maxPacket = mtu + 64 // a TUN hands out no more than its MTU
	txQueue   = 4096     // packets that wait for us; the default of 500 loses bursts
)

// tun is the near end of a TUN device, whose far end is a kernel's network
// interface. Closing it removes the interface.
type tun struct {
	file *os.File
	link netlink.Link
}

// openTUN makes the interface name in the calling thread's namespace.
func openTUN(name string) (*tun, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunPath, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TUN device: %w", err)
	}
	t := &tun{file: os.NewFile(uintptr(fd), tunPath)} // only now: the poller takes no fd without a device
	if t.link, err = netlink.LinkByName(name); err != nil {
		t.close()
		return nil, fmt.Errorf("find TUN device: %w", err)
	}
	return t, nil
}

// configure gives the interface its addresses, each with the length of its
// network, and takes it up. It belongs in the device's namespace.
func (t *tun) configure(addrs []netip.Prefix) error {
	// No link-local address: the kernel would solicit routers by itself. A
	// kernel without IPv6 refuses, and needs it not.
	_ = netlink.LinkSetIP6AddrGenMode(t.link, 1)
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipnet(a)} // AddrAdd puts the broadcast address in
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(t.link, addr); err != nil {
			return fmt.Errorf("add address %v: %w", a, err)
		}
	}
	if err := netlink.LinkSetTxQLen(t.link, txQueue); err != nil {
		return fmt.Errorf("set queue length: %w", err)
	}
	if err := netlink.LinkSetUp(t.link); err != nil {
		return fmt.Errorf("take %s up: %w", t.link.Attrs().Name, err)
	}
	return t.settle(addrs)
}

// settle waits until the kernel takes packets for the IPv6 addresses, which it
// begins to do in the background.
func (t *tun) settle(addrs []netip.Prefix) error {
	const patience = 5 * time.Second
	for began := time.Now(); ; time.Sleep(time.Millisecond / 2) {
		ready := 0
		for _, a := range addrs {
			if a.Addr().Is4() {
				ready++
				continue
			}
			routes, err := netlink.RouteGet(a.Addr().AsSlice())
			if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
				ready++
			}
		}
		switch {
		case ready == len(addrs):
			return nil
		case time.Since(began) > patience:
			return fmt.Errorf("the kernel takes no packets for %v after %v", addrs, patience)
		}
	}
}

// route leads what goes to prefix through the interface, by way of gateway
// unless that is zero. Of several routes to one prefix the lowest metric counts.
func (t *tun) route(prefix netip.Prefix, gateway netip.Addr, metric int) error {
	r := &netlink.Route{LinkIndex: t.link.Attrs().Index, Dst: ipnet(prefix), Priority: metric}
	if prefix.Addr().Is6() {
		r.Priority++ // 0 would mean 1024
	}
	if gateway.IsValid() {
		r.Gw = gateway.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("route to %v: %w", prefix, err)
	}
	return nil
}

// looseReversePath lets packets in by an interface that is not the one which
// the route back takes (RFC 3704 §2.4), as most systems do.
func looseReversePath() error {
	for _, of := range []string{"all", "default"} {
		// /proc/sys/net shows the namespace of the thread that looks.
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+of+"/rp_filter", []byte("2"), 0); err != nil {
			return fmt.Errorf("loosen the reverse path filter: %w", err)
		}
	}
	return nil
}

// loopbackUp takes lo up in the calling thread's namespace.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("take lo up: %w", err)
	}
	return nil
}

func (t *tun) close() { t.file.Close() }

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// everywhere and everywhere6 are the destinations of default routes.
var (
	everywhere  = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	everywhere6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)
