//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// detach has a command live on without us, and without our terminal.
func detach(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// ignoreHangUp keeps the end of a terminal from ending us.
func ignoreHangUp() { signal.Ignore(syscall.SIGHUP) }

// tryLock takes the lock of an open file, and reports false where another process
// has it. The kernel gives it back when the process ends.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// privateModes is whether files have modes that say who may read them.
const privateModes = true

// terminate asks a process to end.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
