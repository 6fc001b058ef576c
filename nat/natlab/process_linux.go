package natlab

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// startTied starts c so that it dies with the calling thread.
func startTied(c *exec.Cmd) error {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return c.Start()
}

// killInside kills every process in ns: descendants of commands, whose own
// parents may be gone. A pidfd makes sure that the process killed is the one
// that was looked at.
func killInside(ns *namespace) {
	inode, err := ns.inode()
	if err != nil {
		return
	}
	for range 10 { // a process may fork while the list is read
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		killed := false
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() || !inside(pid, inode) {
				continue
			}
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue
			}
			if inside(pid, inode) {
				killed = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil || killed
			}
			unix.Close(fd)
		}
		if !killed {
			return
		}
	}
}

// inside reports whether the process is in the network namespace; a zombie is
// in none.
func inside(pid int, inode uint64) bool {
	var s unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &s) == nil && s.Ino == inode
}
