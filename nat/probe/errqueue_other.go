//go:build !linux

package probe

import "syscall"

// errorQueue can't tell ICMP from RST here.
type errorQueue struct{}

func (*errorQueue) watch(syscall.RawConn) error { return nil }
func (*errorQueue) icmp() bool                  { return false }
func (*errorQueue) close()                      {}
