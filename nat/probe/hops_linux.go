package probe

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/nat"
)

// hopPatience is how long a router may take to report a dead packet: the first
// hops are near, and a report that comes later is of no use.
const hopPatience = 400 * time.Millisecond

// hops finds the first routers of the way from local to a server: one packet
// for each TTL, from sockets of their own, and the ICMP time-exceeded that
// comes back for it (RFC 792, RFC 4443), which Linux hands over with IP_RECVERR
// (ip(7)). found is told each one that answers, 0 being the first.
func hops(ctx context.Context, local netip.Addr, server netip.AddrPort, control control, found func(k int, router netip.Addr)) {
	ctx, cancel := context.WithTimeout(ctx, hopPatience)
	defer cancel()
	var wg sync.WaitGroup
	for k := range nat.MaxHops {
		wg.Go(func() {
			if a := hop(ctx, local, server, control, k+1); a.IsValid() {
				found(k, a)
			}
		})
	}
	wg.Wait()
}

// hop asks who drops a packet with that TTL.
func hop(ctx context.Context, local netip.Addr, server netip.AddrPort, control control, ttl int) netip.Addr {
	lc := net.ListenConfig{Control: control}
	p, err := lc.ListenPacket(ctx, "udp", netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return netip.Addr{}
	}
	c := p.(*net.UDPConn)
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.Addr{}
	}
	level, recvErr, hopLimit := unix.IPPROTO_IP, unix.IP_RECVERR, unix.IP_TTL
	if local.Is6() {
		level, recvErr, hopLimit = unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.IPV6_UNICAST_HOPS
	}
	_ = raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), level, recvErr, 1); err == nil {
			err = unix.SetsockoptInt(int(fd), level, hopLimit, ttl)
		}
	})
	if err != nil {
		return netip.Addr{}
	}
	if _, err := c.WriteToUDPAddrPort([]byte{0}, server); err != nil {
		return netip.Addr{}
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetReadDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var from netip.Addr
	oob := make([]byte, 512)
	// The poller wakes a reader for an error as well; the queue is read
	// without blocking, and only again when something has come.
	_ = raw.Read(func(fd uintptr) bool {
		_, n, _, _, err := unix.Recvmsg(int(fd), nil, oob, unix.MSG_ERRQUEUE)
		if err != nil {
			return false // nothing yet
		}
		from = offender(oob[:n])
		return true
	})
	return from
}

// offender reads who sent the ICMP time-exceeded out of a control message: a
// sock_extended_err of 16 bytes with a sockaddr behind it (linux/errqueue.h).
func offender(oob []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		if len(m.Data) < 24 {
			continue
		}
		origin, kind := m.Data[4], m.Data[5]
		family := binary.NativeEndian.Uint16(m.Data[16:])
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR &&
			origin == unix.SO_EE_ORIGIN_ICMP && kind == 11 && family == unix.AF_INET:
			return netip.AddrFrom4([4]byte(m.Data[20:24]))
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR && len(m.Data) >= 40 &&
			origin == unix.SO_EE_ORIGIN_ICMP6 && kind == 3 && family == unix.AF_INET6:
			return netip.AddrFrom16([16]byte(m.Data[24:40]))
		}
	}
	return netip.Addr{}
}
