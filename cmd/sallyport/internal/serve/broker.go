package serve

import (
	"net/netip"
	"slices"

	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/proof"
)

func startBroker(s *Server) (*service, error) {
	asked := s.cfg.Broker
	at := func(port uint16) string { return netip.AddrPortFrom(s.hosts[0], port).String() }
	cfg := broker.Config{
		Listen: at(asked.Port), Names: s.isCalled, Open: s.sockets.Open, Logger: s.log.With("service", "broker"),
		MaxClients: asked.MaxClients, MaxPerIP: s.cfg.MaxPerAddress, MaxPacket: asked.MaxPacket,
		Retain:      nickname.CheckRetained,
		PublishRate: asked.PublishRate, PublishBurst: int(3 * asked.PublishRate),
	}
	if s.certificate != nil {
		cfg.TLS = s.certificate.config()
		cfg.ListenTLS = at(asked.TLSPort)
	}
	switch {
	case asked.WSPort != 0 && s.certificate != nil:
		cfg.ListenWSS = at(asked.WSPort)
	case asked.WSPort != 0:
		cfg.ListenWS = at(asked.WSPort)
	}
	b, err := broker.Start(cfg)
	if err != nil {
		return nil, cannotListen(err, "the broker", "try other ports with --mqtt-port, --mqtts-port and --ws-port, or another --listen")
	}
	for _, u := range b.URLs() {
		s.places.Brokers = append(s.places.Brokers, withHost(u, s.names[0]))
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
func (s *Server) isCalled(host string) bool {
	given := slices.Concat(s.names, s.cfg.Listen)
	return slices.ContainsFunc(given, func(name string) bool { return proof.Host(name) == host }) ||
		s.certificate != nil && s.certificate.names(host)
}
