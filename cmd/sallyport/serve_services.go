package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// service is one of those that sallyport serve runs.
type service struct {
	stop    func()          // takes no one new; those who are there are served on
	idle    func() bool     // nothing would be cut short by close
	close   func()          // ends it, and waits
	metrics func() []metric // for Prometheus
}

// services are how all of them start, in the order in which they are told of.
// They end the other way round.
var services = []func(*servers) (*service, error){startBroker, startSTUN, startRelay, startRegistry}

// servers are the services that run, and what they share.
type servers struct {
	flags       *serveFlags
	log         *slog.Logger
	hosts       []netip.Addr // one or two
	names       []string     // how others call them
	sockets     *sockets
	certificate *certificate // nil: none
	running     []*service
	monitor     *monitor // nil: none
	ready       serveEvent
}

// serveEvent is what others need to know.
type serveEvent struct {
	Event   string   `json:"event"`
	Brokers []string `json:"brokers"`
	STUN    []string `json:"stun"`
	Flags   string   `json:"flags"`
	TURN    string   `json:"turn,omitempty"`
	Metrics string   `json:"metrics,omitempty"`
	// Registry is what others give as --registry.
	Registry string `json:"registry,omitempty"`
}

func startServers(f *serveFlags, log *slog.Logger) (*servers, error) {
	hosts, err := f.hosts()
	if err != nil {
		return nil, err
	}
	s := &servers{flags: f, log: log, hosts: hosts, names: f.names(hosts), ready: serveEvent{Event: "ready"}}
	if s.sockets, err = inheritedSockets(); err != nil {
		return nil, err
	}
	defer s.sockets.close()
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *servers) start() (err error) {
	f := s.flags
	switch {
	case (f.certificate == "") != (f.certificateKey == ""):
		return misused("try --cert FILE --key-file FILE", "--cert and --key-file go together")
	case f.certificate != "":
		if s.certificate, err = loadCertificate(f.certificate, f.certificateKey, s.log); err != nil {
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
	s.ready.Flags = s.flagsForOthers()
	if f.metrics == "" {
		return nil
	}
	if s.monitor, err = startMonitor(f.metrics, s.metrics); err != nil {
		return err
	}
	s.ready.Metrics = "http://" + s.monitor.at.String() + "/metrics"
	return nil
}

// flagsForOthers is what to paste behind sallyport node.
func (s *servers) flagsForOthers() string {
	best := s.ready.Brokers[0]
	if s.certificate != nil {
		best = s.ready.Brokers[1] // over TLS; the order is broker.URLs'
	}
	words := []string{"--broker", best}
	for _, at := range s.ready.STUN {
		words = append(words, "--stun", at)
	}
	if s.ready.TURN != "" {
		words = append(words, "--turn", s.ready.TURN)
	}
	if s.ready.Registry != "" {
		words = append(words, "--registry", s.ready.Registry)
	}
	return strings.Join(words, " ")
}

// drain takes no one new, and waits until nothing would be cut short, for at
// most the time given.
func (s *servers) drain(most time.Duration) {
	if s.monitor != nil {
		s.monitor.closing.Store(true)
	}
	for _, one := range s.running {
		one.stop()
	}
	busy := func(one *service) bool { return !one.idle() }
	for end := time.Now().Add(most); time.Now().Before(end) && slices.ContainsFunc(s.running, busy); {
		time.Sleep(20 * time.Millisecond)
	}
}

// close ends all services at once.
func (s *servers) close() {
	for _, one := range slices.Backward(s.running) {
		one.close()
	}
	if s.monitor != nil {
		s.monitor.close()
	}
}

func (s *servers) metrics() []metric {
	var all []metric
	if s.certificate != nil {
		all = append(all, metric{"sallyport_certificate_expiry_time_seconds", "When the certificate ends, in seconds since 1970.", float64(s.certificate.expiry().Unix())})
	}
	for _, one := range s.running {
		all = append(all, one.metrics()...)
	}
	return all
}
