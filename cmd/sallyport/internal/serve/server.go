// Package serve runs what others need to find each other and to get through, in one
// process and as one thing: a signalling broker, a STUN server, a relay and a
// registry of nicknames. They share the addresses and names of this machine, a
// certificate that is read again when its files are replaced, the sockets that a
// service manager holds, metrics and health, and one orderly end.
package serve

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// service is one of those that a Server runs.
type service struct {
	stop    func()          // takes no one new; those who are there are served on
	idle    func() bool     // nothing would be cut short by close
	close   func()          // ends it, and waits
	metrics func() []metric // for Prometheus
}

// services are how all of them start, in the order in which they are told of.
// They end the other way round.
var services = []func(*Server) (*service, error){startBroker, startSTUN, startRelay, startRegistry}

// Server is the services that run, and what they share.
type Server struct {
	cfg         Config
	log         *slog.Logger
	hosts       []netip.Addr // one or two
	names       []string     // how others call them
	sockets     *sockets
	certificate *certificate // nil: none
	running     []*service
	monitor     *monitor // nil: none
	places      Places
}

// Start starts them all, or none. Sockets that the service manager has opened
// for this process are used, each for the port that it is of; one that is left
// over is an error.
func Start(cfg Config) (*Server, error) {
	hosts, err := cfg.hosts()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, hosts: hosts, names: cfg.names(hosts)}
	if s.sockets, err = inheritedSockets(); err != nil {
		return nil, err
	}
	defer s.sockets.close()
	if err := s.start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start() (err error) {
	switch {
	case (s.cfg.Certificate == "") != (s.cfg.CertificateKey == ""):
		return misused("try --cert FILE --key-file FILE", "--cert and --key-file go together")
	case s.cfg.Certificate != "":
		if s.certificate, err = loadCertificate(s.cfg.Certificate, s.cfg.CertificateKey, s.log); err != nil {
			return err
		}
	}
	for _, start := range services {
		one, err := start(s)
		if err != nil {
			return err
		}
		if one != nil {
			s.running = append(s.running, one)
		}
	}
	if err := s.sockets.left(); err != nil {
		return err
	}
	s.places.Flags = s.places.forOthers(s.certificate != nil)
	if s.cfg.Metrics == "" {
		return nil
	}
	if s.monitor, err = startMonitor(s.cfg.Metrics, s.metrics); err != nil {
		return err
	}
	s.places.Metrics = "http://" + s.monitor.at.String() + "/metrics"
	return nil
}

// Places says where the services are.
func (s *Server) Places() Places { return s.places }

// ReloadOnHangUp has the certificate, if there is one, read again at every
// SIGHUP, until end is called.
func (s *Server) ReloadOnHangUp() (end func()) {
	if s.certificate == nil {
		return func() {}
	}
	return s.certificate.reloadOnHangUp()
}

// Drain takes no one new, and waits until nothing would be cut short by Close,
// or until ctx ends.
func (s *Server) Drain(ctx context.Context) {
	if s.monitor != nil {
		s.monitor.closing.Store(true)
	}
	for _, one := range s.running {
		one.stop()
	}
	busy := func(one *service) bool { return !one.idle() }
	for slices.ContainsFunc(s.running, busy) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close ends all services at once, and waits for them.
func (s *Server) Close() {
	for _, one := range slices.Backward(s.running) {
		one.close()
	}
	if s.monitor != nil {
		s.monitor.close()
	}
}

func (s *Server) metrics() []metric {
	var all []metric
	if s.certificate != nil {
		all = append(all, metric{"sallyport_certificate_expiry_time_seconds", "When the certificate ends, in seconds since 1970.", float64(s.certificate.expiry().Unix())})
	}
	for _, one := range s.running {
		all = append(all, one.metrics()...)
	}
	return all
}
