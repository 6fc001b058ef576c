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
