package netwatch

import (
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// groups are what the kernel shall tell of.
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// subscribe has the kernel tell by rtnetlink(7). said has an element when there
// is news that was not taken yet, and is nil where the kernel does not let us
// listen, as on Android; it is closed when it stops telling. stop ends it.
func subscribe(ignore func(link string) bool) (said <-chan struct{}, stop func()) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, func() {}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, func() {}
	}
	s := newSocket(fd)
	news := make(chan struct{}, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(news)
		hear(s, newSeen(ignore), news)
	})
	return news, func() {
		_ = s.file.Close()
		reading.Wait()
	}
}

// hear reads what the kernel says until the socket is closed.
func hear(s socket, seen *seen, news chan<- struct{}) {
	b := make([]byte, 32<<10) // a message of the kernel's is at most that long
	for {
		n, from, err := s.receive(b)
		fresh := false
		switch k, ok := from.(*unix.SockaddrNetlink); {
		case err == unix.ENOBUFS: // it had more to say than we heard
			seen.forget()
			fresh = true
		case err != nil:
			return
		case ok && k.Pid == 0: // the kernel, and not another program
			messages, _ := syscall.ParseNetlinkMessage(b[:n])
			for _, m := range messages {
				if seen.take(m) {
					fresh = true
				}
			}
		}
		if fresh {
			select {
			case news <- struct{}{}:
			default: // there is some already
			}
		}
	}
}
