package probe

import (
	"net"
	"net/netip"
	"syscall"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// bindTries is how often ports are drawn anew when they may be any and one of
// the up to eight sockets that want the same number finds it taken.
const bindTries = 256

// listen opens the sockets of every spot, all or none.
func (s *Server) listen() error {
	var err error
	for range bindTries {
		if err = s.tryListen(); err == nil {
			return nil
		}
		s.closeSpots()
		s.spots = nil
		any := s.cfg.Primary.Port() == 0 || !s.cfg.OnePort && s.cfg.Alternate.Port() == 0
		if !any || !errno.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

func (s *Server) tryListen() error {
	ips := []netip.Addr{s.cfg.Primary.Addr()}
	if a := s.cfg.Alternate.Addr(); a != ips[0] {
		ips = append(ips, a)
	}
	says := []netip.Addr{s.cfg.AdvertisePrimary, s.cfg.AdvertiseAlternate}
	ports := []uint16{s.cfg.Primary.Port(), s.cfg.Alternate.Port()}
	if s.cfg.OnePort {
		ports = ports[:1]
	}
	for i, ip := range ips {
		for j := range ports {
			p := &spot{ip: i, port: j, at: netip.AddrPortFrom(ip, ports[j])}
			s.spots = append(s.spots, p)
			if err := s.open(p); err != nil {
				return err
			}
			ports[j] = p.at.Port()
			if !says[i].IsUnspecified() {
				p.says = netip.AddrPortFrom(says[i], ports[j])
			}
		}
	}
	return nil
}

// open opens the sockets of one spot; a port 0 becomes the one that was drawn.
func (s *Server) open(p *spot) (err error) {
	if !s.cfg.NoUDP {
		if p.udp, err = s.cfg.OpenPacket(p.at); err != nil {
			return err
		}
		p.at = netip.AddrPortFrom(p.at.Addr(), uint16(p.udp.LocalAddr().(*net.UDPAddr).Port))
	}
	if !s.cfg.NoTCP {
		if p.tcp, err = s.cfg.Open(p.at); err != nil {
			p.tcp = nil // a typed nil is not nil
			return err
		}
		p.at = netip.AddrPortFrom(p.at.Addr(), uint16(p.tcp.Addr().(*net.TCPAddr).Port))
	}
	return nil
}
