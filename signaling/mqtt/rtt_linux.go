package mqtt

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernelRTT asks the kernel for a connection's round trip: the lowest of the
// last minutes, or the smoothed one where that is not known. 0 if c has no
// socket.
func kernelRTT(c net.Conn) time.Duration {
	var rtt time.Duration
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		us := info.Min_rtt
		if us == 0 || us == ^uint32(0) {
			us = info.Rtt
		}
		rtt = time.Duration(us) * time.Microsecond
	})
	return rtt
}

// lingerZeroRaw is for connections that wrap a socket without having SetLinger.
func lingerZeroRaw(c net.Conn) {
	control(c, func(fd int) {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}

func control(c net.Conn, f func(fd int)) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}
