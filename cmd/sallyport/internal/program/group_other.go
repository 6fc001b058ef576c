//go:build !unix

package program

import "os/exec"

// Apart does nothing here: killing a command leaves its children.
func Apart(*exec.Cmd) {}

func killGroup(c *exec.Cmd) { _ = c.Process.Kill() }
