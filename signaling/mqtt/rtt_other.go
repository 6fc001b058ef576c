//go:build !linux

package mqtt

import (
	"net"
	"time"
)

func kernelRTT(net.Conn) time.Duration { return 0 }

func lingerZeroRaw(net.Conn) {}
