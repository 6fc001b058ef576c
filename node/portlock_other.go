//go:build !linux

package node

import (
	"fmt"
	"io"
	"net"
)

// lockPort makes this process the only node on a port: it holds the UDP port
// of the same number, which nobody can share and which vanishes with the
// process.
func lockPort(port uint16) (io.Closer, error) {
	return net.ListenPacket("udp", fmt.Sprintf(":%d", port))
}

// lockRight is what lets a program have the lock that may not.
const lockRight = "try another --port: the UDP port of the same number serves as the lock, and may be kept for others"
