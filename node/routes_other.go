//go:build !linux

package node

import (
	"net/netip"
	"syscall"
)

// lookUpRoutes finds nothing out here: routes count as the system has them.
func lookUpRoutes([]place) {}

func passingAddrs() map[netip.Addr]bool { return nil }

// bindTo is never asked to here, since no place names a device.
func bindTo(string, syscall.RawConn) error { return nil }
