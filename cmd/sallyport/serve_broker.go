package main

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/proof"
)

func startBroker(s *servers) (*service, error) {
	f := s.flags
	at := func(port uint16) string { return netip.AddrPortFrom(s.hosts[0], port).String() }
	cfg := broker.Config{
		Listen: at(f.mqtt), Names: s.isCalled, Open: s.sockets.Open, Logger: s.log.With("service", "broker"),
		MaxClients: f.maxClients, MaxPerIP: f.maxPerAddress, MaxPacket: f.maxPacket,
		Retain:      nickname.CheckRetained,
		PublishRate: f.publishRate, PublishBurst: int(3 * f.publishRate),
	}
	if s.certificate != nil {
		cfg.TLS = s.certificate.config()
		cfg.ListenTLS = at(f.mqtts)
	}
	switch {
	case f.ws != 0 && s.certificate != nil:
		cfg.ListenWSS = at(f.ws)
	case f.ws != 0:
		cfg.ListenWS = at(f.ws)
	}
	b, err := broker.Start(cfg)
	if err != nil {
		return nil, failed(err, "try other ports with --mqtt-port, --mqtts-port and --ws-port, or another --listen", "the broker can't listen: %v", err)
	}
	for _, u := range b.URLs() {
		s.ready.Brokers = append(s.ready.Brokers, withHost(u, s.names[0]))
	}
	return &service{
		stop:  b.Stop,
		idle:  func() bool { return true }, // clients come again, to whoever is next
		close: func() { _ = b.Close() },
		metrics: func() []metric {
			st := b.Stats()
			return []metric{
				{"sallyport_broker_connections", "Connections that are open.", float64(st.Connections)},
				{"sallyport_broker_clients", "Connections that are past their CONNECT.", float64(st.Clients)},
				{"sallyport_broker_subscriptions", "Subscriptions of all clients.", float64(st.Subscriptions)},
				{"sallyport_broker_received_total", "Messages published to the broker.", float64(st.Received)},
				{"sallyport_broker_sent_total", "Messages written to subscribers.", float64(st.Sent)},
				{"sallyport_broker_proven_total", "Connections whose key was proven.", float64(st.Proven)},
				{"sallyport_broker_unproven_total", "Proofs refused, and subscriptions without one.", float64(st.Unproven)},
				{"sallyport_broker_turned_away_total", "Connections over a limit, closed at once.", float64(st.TurnedAway)},
				{"sallyport_broker_limited_total", "Messages above a client's rate, dropped.", float64(st.Limited)},
				{"sallyport_broker_refused_total", "Messages against the rules, dropped.", float64(st.Refused)},
				{"sallyport_broker_slow_total", "Messages that a subscriber was too slow for, dropped.", float64(st.Slow)},
				{"sallyport_broker_panics_total", "Connections whose handling panicked.", float64(st.Panics)},
			}
		},
	}, nil
}

// isCalled reports whether host is a name of this machine: one that was given
// by its operator, or that the certificate has.
func (s *servers) isCalled(host string) bool {
	given := slices.Concat(s.names, s.flags.listen)
	return slices.ContainsFunc(given, func(name string) bool { return proof.Host(name) == host }) ||
		s.certificate != nil && s.certificate.names(host)
}

func startSTUN(s *servers) (*service, error) {
	f := s.flags
	cfg := probe.ServerConfig{
		Primary:   netip.AddrPortFrom(s.hosts[0], f.stun),
		Alternate: netip.AddrPortFrom(s.hosts[len(s.hosts)-1], f.alternate),
		Open:      s.sockets.openTCP, OpenPacket: s.sockets.openUDP, Logger: s.log.With("service", "stun"),
		Rate: f.stunRate, Conns: f.stunConnections, ConnsPerIP: f.maxPerAddress,
	}
	for n, name := range f.advertise {
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
		return nil, failed(err, "try other ports with --stun-port and --alternate-port, or another --listen", "the STUN server can't listen: %v", err)
	}
	for _, at := range server.Addrs() {
		name := s.names[0]
		if len(s.hosts) > 1 && at.Addr() == s.hosts[1] {
			name = s.names[1]
		}
		s.ready.STUN = append(s.ready.STUN, net.JoinHostPort(name, strconv.Itoa(int(at.Port()))))
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
