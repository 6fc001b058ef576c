package netwatch

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a netlink socket that Go's poller waits for.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

// newSocket takes over fd, which does not block.
func newSocket(fd int) socket {
	f := os.NewFile(uintptr(fd), "rtnetlink")
	raw, err := f.SyscallConn()
	if err != nil {
		panic(err) // not reached: the file is open
	}
	return socket{f, raw}
}

// receive waits for a datagram and tells who sent it.
func (s socket) receive(b []byte) (n int, from unix.Sockaddr, err error) {
	closed := s.raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), b, 0)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if closed != nil {
		return 0, nil, closed
	}
	return n, from, err
}
