package punch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// CanPrime reports whether this system lets a SYN die on the way without the
// socket noticing.
const CanPrime = true

// primerMinTTL makes an IPv4 primer deaf to the ICMP time-exceeded of its own
// SYN: the error quotes the SYN with a TTL of 1 or 0, which is below it. IPv6
// has no such thing: the kernel compares IPV6_MINHOPCOUNT with the hop limit of
// the error itself (tcp_v6_err), which is that of any packet from nearby.
const primerMinTTL = 2

// deaf reports whether a primer's socket survives the error about its SYN.
// Where it does not, the listener on its port takes the peer's SYN instead.
func deaf(remote netip.AddrPort) bool { return remote.Addr().Is4() }

// Values of tcpi_state (linux/tcp_states.h).
const (
	stateEstablished = 1
	stateSynSent     = 2
	stateSynRecv     = 3
)

// tuple is one socket on one four-tuple, connecting.
type tuple struct {
	file   *os.File
	remote netip.AddrPort
}

// startConnect sends a SYN from local to remote: with ttl > 0 one that dies
// after ttl hops, and with a device by that interface, whatever the routes say.
func startConnect(local, remote netip.AddrPort, ttl int, device string) (*tuple, error) {
	family := unix.AF_INET
	if remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if ttl > 0 {
		if family == unix.AF_INET {
			set(unix.IPPROTO_IP, unix.IP_MINTTL, primerMinTTL)
			set(unix.IPPROTO_IP, unix.IP_TTL, ttl)
		} else {
			set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
		}
	}
	if err == nil && device != "" {
		err = unix.BindToDevice(fd, device)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(local))
	}
	if err == nil {
		if err = unix.Connect(fd, sockaddr(remote)); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err == nil && ttl > 0 {
		// Only the SYN was to die: what answers the peer must reach it.
		if family == unix.AF_INET {
			set(unix.IPPROTO_IP, unix.IP_TTL, 64)
		} else {
			set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 64)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &tuple{file: os.NewFile(uintptr(fd), "tcp"), remote: remote}, nil
}

// wait returns when the connection stands, fails, or ctx ends. On success the
// tuple is used up; otherwise the caller closes it.
func (t *tuple) wait(ctx context.Context) (net.Conn, error) {
	_ = t.file.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = t.file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := t.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		if code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			failed = err
			return true
		} else if code != 0 {
			failed = unix.Errno(code)
			return true
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			failed = err
			return true
		}
		switch info.State {
		case stateSynSent, stateSynRecv:
			return false
		case stateEstablished:
			return true
		}
		// Anything later than established still has bytes to read first.
		if _, err := unix.Getpeername(int(fd)); err != nil {
			failed = err
		}
		return true
	})
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case failed != nil:
		return nil, fmt.Errorf("connect: %w", failed)
	}
	conn, err := net.FileConn(t.file)
	if err != nil {
		return nil, err
	}
	_ = t.file.Close()
	return conn, nil
}

// opening reports whether the peer's SYN has not been heard yet.
func (t *tuple) opening() bool {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return false
	}
	opening := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		opening = err == nil && info.State == stateSynSent
	})
	return opening
}

// local is the socket's own address.
func (t *tuple) local() (local netip.AddrPort, ok bool) {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, false
	}
	_ = raw.Control(func(fd uintptr) {
		switch a, _ := unix.Getsockname(int(fd)); a := a.(type) {
		case *unix.SockaddrInet4:
			local, ok = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), true
		case *unix.SockaddrInet6:
			local, ok = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), true
		}
	})
	return local, ok
}

func (t *tuple) close() { _ = t.file.Close() }

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// held reports whether err means that the four-tuple or the port is in use.
func held(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EISCONN) || errors.Is(err, unix.EALREADY)
}

// bindTo has a socket use one interface, whatever the routes say.
func bindTo(device string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), device) })
	return errors.Join(err, failed)
}

// refused reports whether err came from the network, so that trying again at
// once is right: an RST or an ICMP error in SYN_SENT. EACCES is what IPv6 makes
// of a prohibition.
func refused(err error) bool {
	for _, e := range []error{unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.EOPNOTSUPP, unix.ECONNABORTED, unix.EACCES} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
