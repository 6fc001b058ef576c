package serve

import (
	"net"
	"os"
)

// Notify tells the service manager, systemd, a state, as sd_notify(3) does; where there is
// nobody to tell, it does nothing.
func Notify(state string) {
	to := os.Getenv("NOTIFY_SOCKET")
	if to == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: to, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
