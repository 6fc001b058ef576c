package serve

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/sallyport-net/sallyport/nat/probe"
)

func startSTUN(s *Server) (*service, error) {
	asked := s.cfg.STUN
	cfg := probe.ServerConfig{
		Primary:   netip.AddrPortFrom(s.hosts[0], asked.Port),
		Alternate: netip.AddrPortFrom(s.hosts[len(s.hosts)-1], asked.AlternatePort),
		Open:      s.sockets.openTCP, OpenPacket: s.sockets.openUDP, Logger: s.log.With("service", "stun"),
		Rate: asked.Rate, Conns: asked.MaxConnections, ConnsPerIP: s.cfg.MaxPerAddress,
	}
	for n, name := range s.cfg.Advertise {
		ip, err := netip.ParseAddr(name)
		switch {
		case err != nil: // a name; the server can only tell addresses
		case n == 0:
			cfg.AdvertisePrimary = ip
		default:
			cfg.AdvertiseAlternate = ip
		}
	}
	server, err := probe.NewServer(cfg)
	if err != nil {
		return nil, cannotListen(err, "the STUN server", "try other ports with --stun-port and --alternate-port, or another --listen")
	}
	for _, at := range server.Addrs() {
		name := s.names[0]
		if len(s.hosts) > 1 && at.Addr() == s.hosts[1] {
			name = s.names[1]
		}
		s.places.STUN = append(s.places.STUN, net.JoinHostPort(name, strconv.Itoa(int(at.Port()))))
	}
	return &service{
		stop:  server.Stop,
		idle:  func() bool { return true }, // each question stands for itself
		close: func() { _ = server.Close() },
		metrics: func() []metric {
			st := server.Stats()
			return []metric{
				{"sallyport_stun_connections", "TCP connections that are open.", float64(st.Connections)},
				{"sallyport_stun_udp_answered_total", "Requests over UDP that were answered.", float64(st.UDP)},
				{"sallyport_stun_tcp_answered_total", "Requests over TCP that were answered.", float64(st.TCP)},
				{"sallyport_stun_calls_total", "Connections to clients that asked to be called.", float64(st.Calls)},
				{"sallyport_stun_limited_total", "Requests above a rate, left without an answer.", float64(st.Limited)},
				{"sallyport_stun_turned_away_total", "Connections over a limit, closed at once.", float64(st.TurnedAway)},
				{"sallyport_stun_malformed_total", "Packets and connections that were no STUN.", float64(st.Malformed)},
			}
		},
	}, nil
}
