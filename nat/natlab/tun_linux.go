package natlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"

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

// configure gives the interface its addresses in prefix's network and takes it
// up. It belongs in the device's namespace.
func (t *tun) configure(addrs []netip.Addr, prefix netip.Prefix) error {
	// No link-local address: the kernel would solicit routers by itself. A
	// kernel without IPv6 refuses, and needs it not.
	_ = netlink.LinkSetIP6AddrGenMode(t.link, 1)
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipnet(netip.PrefixFrom(a, prefix.Bits()))} // AddrAdd puts the broadcast address in
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
	return nil
}

// route leads what goes to prefix through the interface, by way of gateway
// unless that is zero.
func (t *tun) route(prefix netip.Prefix, gateway netip.Addr) error {
	r := &netlink.Route{LinkIndex: t.link.Attrs().Index, Dst: ipnet(prefix)}
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

// everywhere is the default route's destination.
var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
