package serve

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// sockets are those that the service manager has opened for us (sd_listen_fds(3)
// of systemd): what comes in while the program restarts waits in them.
type sockets struct {
	tcp map[netip.AddrPort]*net.TCPListener
	udp map[netip.AddrPort]*net.UDPConn
}

const (
	firstInherited = 3 // SD_LISTEN_FDS_START
	mostInherited  = 64
)

// inheritedSockets takes what LISTEN_FDS tells of, if it is meant for this
// process. Our children are not told.
func inheritedSockets() (*sockets, error) {
	s := &sockets{map[netip.AddrPort]*net.TCPListener{}, map[netip.AddrPort]*net.UDPConn{}}
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return s, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > mostInherited {
		return nil, misused("unset LISTEN_FDS where systemd holds no sockets", "LISTEN_FDS is %q, which is not 0 to %d", count, mostInherited)
	}
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		if err := s.add(os.NewFile(uintptr(fd), "inherited")); err != nil {
			s.close()
			return nil, misused("look into the socket unit: only TCP and UDP ports are of use", "inherited socket %d: %v", fd-firstInherited+1, err)
		}
	}
	return s, nil
}

// add takes over f, which is closed in any case: what is used of it is a copy.
func (s *sockets) add(f *os.File) error {
	defer f.Close()
	if l, err := net.FileListener(f); err == nil {
		if tcp, ok := l.(*net.TCPListener); ok {
			s.tcp[unmapped(tcp.Addr().(*net.TCPAddr).AddrPort())] = tcp
			return nil
		}
		_ = l.Close()
		return errors.New("it listens, but not for TCP")
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return errors.New("it neither listens nor takes packets")
	}
	if udp, ok := c.(*net.UDPConn); ok {
		s.udp[unmapped(udp.LocalAddr().(*net.UDPAddr).AddrPort())] = udp
		return nil
	}
	_ = c.Close()
	return errors.New("it takes packets, but not of UDP")
}

// Open gives the TCP listener for an address: an inherited one, or a new one.
func (s *sockets) Open(network, address string) (net.Listener, error) {
	if at, err := netip.ParseAddrPort(address); err == nil {
		if l, ok := take(s.tcp, at); ok {
			return l, nil
		}
	}
	return net.Listen(network, address)
}

func (s *sockets) openTCP(at netip.AddrPort) (net.Listener, error) {
	return s.Open("tcp", at.String())
}

func (s *sockets) openUDP(at netip.AddrPort) (*net.UDPConn, error) {
	if c, ok := take(s.udp, at); ok {
		return c, nil
	}
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
}

// take gives the socket for an address away. All addresses of the machine are
// the same in IPv4 and in IPv6.
func take[T any](from map[netip.AddrPort]T, at netip.AddrPort) (socket T, ok bool) {
	at = unmapped(at)
	for have, s := range from {
		if have == at || have.Port() == at.Port() && have.Addr().IsUnspecified() && at.Addr().IsUnspecified() {
			delete(from, have)
			return s, true
		}
	}
	return socket, false
}

// left is an error where a socket was of no use: whoever came in there would
// wait for ever.
func (s *sockets) left() error {
	var names []string
	for at := range s.tcp {
		names = append(names, "tcp "+at.String())
	}
	for at := range s.udp {
		names = append(names, "udp "+at.String())
	}
	if len(names) == 0 {
		return nil
	}
	return misused("make the socket unit and --listen and the ports agree", "nothing here wants the inherited socket %s", strings.Join(names, ", "))
}

// close closes what was not taken.
func (s *sockets) close() {
	for _, l := range s.tcp {
		_ = l.Close()
	}
	for _, c := range s.udp {
		_ = c.Close()
	}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
