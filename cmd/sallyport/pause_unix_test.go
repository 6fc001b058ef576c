//go:build unix

package main

import "syscall"

func init() { signals["STOP"], signals["CONT"] = syscall.SIGSTOP, syscall.SIGCONT }
