package node

import (
	"fmt"
	"io"
	"net"
)

// lockPort makes this process the only node on a port: an abstract Unix socket
// belongs to the network namespace, as the port does, and vanishes with the
// process, however that ends (unix(7)).
func lockPort(port uint16) (io.Closer, error) {
	return net.Listen("unix", fmt.Sprintf("@sallyport-port-%d", port))
}

// lockRight is what lets a program have the lock that may not.
const lockRight = "allow this program Unix sockets (AppArmor, SELinux, seccomp or RestrictAddressFamilies of systemd may forbid them)"
