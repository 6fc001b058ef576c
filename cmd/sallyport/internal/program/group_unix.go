//go:build unix

package program

import (
	"os/exec"
	"syscall"
)

// Apart puts a command into a process group of its own, so that killGroup
// gets its children too.
func Apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(c *exec.Cmd) { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
