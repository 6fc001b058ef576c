package probe

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// errorQueue tells what kind of error ended a connect: an RST and an ICMP port
// unreachable are both ECONNREFUSED, but with IP_RECVERR Linux (5.18 and
// newer) keeps the ICMP error of a SYN in the socket's queue (ip(7)). It holds
// a second descriptor, since a dialer closes its own at once.
type errorQueue struct{ fd int }

// watch is called before the connect. Without the queue, all is taken for RST.
func (q *errorQueue) watch(c syscall.RawConn) error {
	q.close()
	return c.Control(func(fd uintptr) {
		level, option := unix.IPPROTO_IP, unix.IP_RECVERR
		if family, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && family == unix.AF_INET6 {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
		}
		if unix.SetsockoptInt(int(fd), level, option, 1) == nil {
			if dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); err == nil {
				q.fd = dup
			}
		}
	})
}

// icmp reports whether an ICMP error is in the queue.
func (q *errorQueue) icmp() bool {
	if q.fd == 0 {
		return false
	}
	oob := make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(q.fd, nil, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return false
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if (v4 || v6) && len(m.Data) >= 16 && (m.Data[4] == unix.SO_EE_ORIGIN_ICMP || m.Data[4] == unix.SO_EE_ORIGIN_ICMP6) {
			return true
		}
	}
	return false
}

func (q *errorQueue) close() {
	if q.fd != 0 {
		_ = unix.Close(q.fd)
		q.fd = 0
	}
}
