//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// detach does nothing here: the command lives on until its console closes.
func detach(*exec.Cmd) {}

func ignoreHangUp() {}

// tryLock always succeeds here: whether a node runs is told by its socket alone.
func tryLock(*os.File) (bool, error) { return true, nil }

// privateModes is whether files have modes that say who may read them.
const privateModes = false

// terminate ends a process.
func terminate(p *os.Process) error { return p.Kill() }
