package lan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// hops is the TTL or hop limit of every datagram, sent and received.
const hops = 255

// blind is set where the system does not tell what an arrival holds.
const blind = runtime.GOOS == "windows"

// conn is a UDP socket that knows how each datagram arrived.
type conn struct {
	*net.UDPConn
	v4 *ipv4.PacketConn // either this
	v6 *ipv6.PacketConn // or this
}

// arrival is what is known of a datagram beside its bytes.
type arrival struct {
	from netip.AddrPort
	told bool // the system told the rest
	to   netip.Addr
	hops int
	link int // index of the interface
}

func newConn(c *net.UDPConn, is4 bool) (*conn, error) {
	n := &conn{UDPConn: c}
	var err error
	if is4 {
		n.v4 = ipv4.NewPacketConn(c)
		err = n.v4.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagInterface, true)
	} else {
		n.v6 = ipv6.NewPacketConn(c)
		err = n.v6.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst|ipv6.FlagInterface, true)
	}
	if err != nil && !blind {
		_ = c.Close()
		return nil, err
	}
	return n, nil
}

// listen opens a socket for queries, which other processes may share.
func listen(group netip.AddrPort) (*conn, error) {
	network := "udp4"
	if group.Addr().Is6() {
		network = "udp6"
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(group))
	if err != nil {
		return nil, err
	}
	return newConn(c, group.Addr().Is4())
}

// join makes the kernel hear the group on a link.
func (c *conn) join(l Link) error {
	i, err := net.InterfaceByIndex(l.Index)
	if err != nil {
		return err
	}
	if c.v4 != nil {
		return c.v4.JoinGroup(i, &net.UDPAddr{IP: group4.AsSlice()})
	}
	return c.v6.JoinGroup(i, &net.UDPAddr{IP: group6.AsSlice()})
}

// open opens a socket of the host's address local, from which datagrams go to
// neighbours and to the group.
func open(local netip.Addr, l Link) (*conn, error) {
	// A link-local address that is still being checked can't be bound: that is
	// an error like any other.
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, err
	}
	c, err := newConn(u, local.Is4())
	if err != nil {
		return nil, err
	}
	i, err := net.InterfaceByIndex(l.Index)
	if err == nil && c.v4 != nil {
		err = errors.Join(c.v4.SetTTL(hops), c.v4.SetMulticastTTL(hops), c.v4.SetMulticastInterface(i), c.v4.SetMulticastLoopback(true))
	} else if err == nil {
		err = errors.Join(c.v6.SetHopLimit(hops), c.v6.SetMulticastHopLimit(hops), c.v6.SetMulticastInterface(i), c.v6.SetMulticastLoopback(true))
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// local is the address and port that datagrams leave from.
func (c *conn) local() netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (c *conn) read(b []byte) (n int, a arrival, err error) {
	var from net.Addr
	var to net.IP
	if c.v4 != nil {
		var m *ipv4.ControlMessage
		if n, m, from, err = c.v4.ReadFrom(b); m != nil {
			a.told, a.hops, a.link, to = true, m.TTL, m.IfIndex, m.Dst
		}
	} else {
		var m *ipv6.ControlMessage
		if n, m, from, err = c.v6.ReadFrom(b); m != nil {
			a.told, a.hops, a.link, to = true, m.HopLimit, m.IfIndex, m.Dst
		}
	}
	if err != nil {
		return 0, arrival{}, err
	}
	u := from.(*net.UDPAddr).AddrPort()
	a.from = netip.AddrPortFrom(u.Addr().Unmap(), u.Port())
	if ip, ok := netip.AddrFromSlice(to); ok {
		a.to = ip.Unmap()
	}
	return n, a, nil
}

// near reports whether no router has passed the datagram on.
func (a arrival) near() bool { return a.told && a.hops == hops || !a.told && blind }

// closeAfter closes c when ctx ends; the function that it gives closes it now.
func (c *conn) closeAfter(ctx context.Context) (done func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return func() {
		stop()
		_ = c.Close()
	}
}
