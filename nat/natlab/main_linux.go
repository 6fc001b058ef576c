package natlab

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// inner marks, in the environment, the process that Main has started.
const inner = "SALLYPORT_NATLAB_INNER"

// Main belongs at the very start of main or TestMain, or of the part of a
// program that runs a lab, before that has read its input. Where the process lacks
// the rights that a lab needs and the kernel allows it, Main runs the program
// again in a user namespace of its own, where it has them, and exits with its
// status. In there the user is root (files belong to the real user as
// before), and the machine's network is as it was. Otherwise Main does
// nothing: Available then says what is missing.
func Main() {
	if privileged() || os.Getenv(inner) != "" {
		return
	}
	c := again()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	ended := make(chan error, 1)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // or the thread, and by Pdeathsig the child, might end early
		err := c.Start()
		started <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	if <-started != nil {
		signal.Stop(signals)
		return
	}
	for {
		select {
		case s := <-signals:
			if !typed(s) {
				c.Process.Signal(s)
			}
		case <-ended:
			if code := c.ProcessState.ExitCode(); code >= 0 {
				os.Exit(code)
			}
			os.Exit(128 + int(c.ProcessState.Sys().(syscall.WaitStatus).Signal()))
		}
	}
}

// again is this program once more, in a new user namespace.
func again() *exec.Cmd {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), inner+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	return c
}

// typed reports whether s may come from the keyboard, which tells the child
// as well.
func typed(s os.Signal) bool {
	if s != os.Interrupt && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// privileged reports whether the process may make and configure network
// namespaces.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return data[0].Effective&need == need
}
