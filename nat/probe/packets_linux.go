package probe

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// saveACK lets the ACK of the handshake ride on the request: without
// TCP_QUICKACK the kernel waits up to 40 ms for data to send with it (tcp(7)),
// and we write at once.
func saveACK(c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// A packet more is no reason to fail.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
	})
}

// packetsOut is how many packets a connection has sent so far (TCP_INFO), 0 if
// that can't be known.
func packetsOut(conn syscall.Conn) int {
	c, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = c.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Segs_out)
		}
	})
	return n
}
