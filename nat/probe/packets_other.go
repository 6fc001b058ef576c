//go:build !linux

package probe

import "syscall"

func saveACK(syscall.RawConn) error { return nil }

func packetsOut(syscall.Conn) int { return 0 }
