package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

// serveFlags are those of sallyport serve.
type serveFlags struct {
	listen, advertise            []string
	mqtt, mqtts, ws              uint16
	stun, alternate              uint16
	turn                         uint16
	noTURN, turnPrivate          bool
	turnSecret                   string
	certificate, certificateFile string
	registry                     registryFlags
}

func newServe(a *app) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a signalling broker, a STUN server and a relay",
		Long: `Run a signalling broker (MQTT), a STUN server (RFC 5780, over UDP and TCP) and a
relay (TURN with TCP allocations, RFC 6062) in one process, and print the flags
with which others use them. Nothing is stored but the secret of --turn-secret and
the names of --registry.

The relay carries ciphertext between two nodes that can't reach each other. It is
for those who hold its secret, at most 16 connections for one address, each of
4 MiB a second and a day at most, and never into private networks.

With two addresses (--listen twice), the STUN server can tell all kinds of NAT
apart; with one, it makes do with two ports. SIGTERM ends it with exit status 0.`,
		Example: `  sallyport serve
  sallyport serve --listen 203.0.113.7 --listen 203.0.113.8
  sallyport serve --turn-port 443 --turn-secret relay.secret
  sallyport serve --listen 10.0.0.5 --advertise broker.example.org --cert cert.pem --key-file key.pem`,
		Args: nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.serve(c.Context(), &f)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&f.listen, "listen", nil, "address to listen on, as a `HOST`; may be given twice (default: all of this machine)")
	fs.StringSliceVar(&f.advertise, "advertise", nil, "`HOST` to print for others in place of each --listen, where this machine is known by another name or address")
	fs.Uint16Var(&f.mqtt, "mqtt-port", 1883, "TCP port `N` of the broker; 0 means any")
	fs.Uint16Var(&f.mqtts, "mqtts-port", 8883, "TCP port `N` of the broker over TLS, where there is a certificate; 0 means any")
	fs.Uint16Var(&f.ws, "ws-port", 0, "TCP port `N` of the broker over WebSocket, with TLS where there is a certificate (default: none)")
	fs.Uint16Var(&f.stun, "stun-port", 3478, "port `N` of the STUN server; 0 means any")
	fs.Uint16Var(&f.alternate, "alternate-port", 3479, "second port `N` of the STUN server; 0 means any")
	fs.Uint16Var(&f.turn, "turn-port", 3480, "TCP port `N` of the relay; 0 means any")
	fs.StringVar(&f.turnSecret, "turn-secret", "", "`FILE` with the relay's secret, made if missing (default: a new secret each time)")
	fs.BoolVar(&f.turnPrivate, "turn-allow-private", false, "let the relay lead to peers in private networks and on this machine")
	fs.BoolVar(&f.noTURN, "no-turn", false, "run no relay")
	f.registry.register(fs)
	fs.StringVar(&f.certificate, "cert", "", "PEM `FILE` with the certificate chain")
	fs.StringVar(&f.certificateFile, "key-file", "", "PEM `FILE` with its private key")
	fs.BoolVar(&a.json, "json", false, "one JSON object per line")
	fs.BoolVarP(&a.verbose, "verbose", "v", false, "show the causes of errors")
	return c
}

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	s, err := startServers(f)
	if err != nil {
		return err
	}
	defer s.close()
	if a.json {
		emit(a.out, s.ready)
	} else {
		fmt.Fprintf(a.out, "Broker: %s\nSTUN:   %s\n", strings.Join(s.ready.Brokers, " "), strings.Join(s.ready.STUN, " "))
		if s.ready.TURN != "" {
			fmt.Fprintf(a.out, "Relay:  %s\n", s.ready.TURN)
		}
		if s.ready.Registry != "" {
			fmt.Fprintf(a.out, "Names:  %s\n", s.ready.Registry)
		}
		fmt.Fprintf(a.out, "Flags:  %s\n", s.ready.Flags)
	}
	<-ctx.Done()
	a.say("Closing.")
	return daemonEnd(ctx)
}

// servers are a running broker, STUN server and relay.
type servers struct {
	broker *broker.Broker
	stun   *probe.Server
	relay  *relay.Server // nil: none
	names  *namesServer  // nil: none
	ready  serveEvent
}

type serveEvent struct {
	Event   string   `json:"event"`
	Brokers []string `json:"brokers"`
	STUN    []string `json:"stun"`
	Flags   string   `json:"flags"`
	TURN    string   `json:"turn,omitempty"`
	// Registry is what others give as --registry.
	Registry string `json:"registry,omitempty"`
}

func startServers(f *serveFlags) (*servers, error) {
	hosts, err := f.hosts()
	if err != nil {
		return nil, err
	}
	s := &servers{}
	if s.broker, err = f.startBroker(hosts[0]); err != nil {
		return nil, err
	}
	if s.stun, err = f.startSTUN(hosts); err != nil {
		_ = s.broker.Close()
		return nil, err
	}
	s.ready = serveEvent{Event: "ready"}
	names := f.names(hosts)
	if !f.noTURN {
		if s.relay, s.ready.TURN, err = f.startRelay(hosts[0], names[0]); err != nil {
			s.close()
			return nil, err
		}
	}
	if f.registry.file != "" {
		if s.names, s.ready.Registry, err = f.registry.start(hosts[0], names[0]); err != nil {
			s.close()
			return nil, err
		}
	}
	for _, u := range s.broker.URLs() {
		s.ready.Brokers = append(s.ready.Brokers, withHost(u, names[0]))
	}
	for _, at := range s.stun.Addrs() {
		name := names[0]
		if len(hosts) > 1 && at.Addr() == hosts[1] {
			name = names[1]
		}
		s.ready.STUN = append(s.ready.STUN, net.JoinHostPort(name, strconv.Itoa(int(at.Port()))))
	}
	best := s.ready.Brokers[0]
	if f.certificate != "" {
		best = s.ready.Brokers[1] // over TLS; the order is broker.URLs'
	}
	words := []string{"--broker", best}
	for _, at := range s.ready.STUN {
		words = append(words, "--stun", at)
	}
	if s.relay != nil {
		words = append(words, "--turn", s.ready.TURN)
	}
	if s.names != nil {
		words = append(words, "--registry", s.ready.Registry)
	}
	s.ready.Flags = strings.Join(words, " ")
	return s, nil
}

func (s *servers) close() {
	if s.relay != nil {
		_ = s.relay.Close()
	}
	if s.names != nil {
		s.names.close()
	}
	_ = s.stun.Close()
	_ = s.broker.Close()
}

// hosts are the one or two addresses to listen on.
func (f *serveFlags) hosts() ([]netip.Addr, error) {
	if len(f.listen) == 0 {
		return []netip.Addr{netip.IPv4Unspecified()}, nil
	}
	if len(f.listen) > 2 || len(f.advertise) > len(f.listen) {
		return nil, misused("", "--listen may be given twice, and --advertise as often as that")
	}
	var hosts []netip.Addr
	for _, name := range f.listen {
		ip, err := net.ResolveIPAddr("ip", name)
		if err != nil {
			return nil, misused("try --listen with one of this machine's addresses", "--listen %q is no address", name)
		}
		h, _ := netip.AddrFromSlice(ip.IP)
		hosts = append(hosts, h.Unmap().WithZone(ip.Zone))
	}
	if len(hosts) == 2 && (hosts[0] == hosts[1] || hosts[0].Is4() != hosts[1].Is4() || hosts[0].IsUnspecified() || hosts[1].IsUnspecified()) {
		return nil, misused("", "two --listen must be two addresses of one family")
	}
	return hosts, nil
}

// names are how others call the hosts.
func (f *serveFlags) names(hosts []netip.Addr) []string {
	var names []string
	for n, h := range hosts {
		switch {
		case n < len(f.advertise):
			names = append(names, f.advertise[n])
		case h.IsUnspecified():
			names = append(names, likelyAddress())
		default:
			names = append(names, h.String())
		}
	}
	return names
}

// likelyAddress is the one from which this machine reaches the internet; no
// packet is sent for it.
func likelyAddress() string {
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return "127.0.0.1"
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String()
}

func (f *serveFlags) startBroker(host netip.Addr) (*broker.Broker, error) {
	at := func(port uint16) string { return netip.AddrPortFrom(host, port).String() }
	cfg := broker.Config{Listen: at(f.mqtt), Retain: nickname.CheckRetained}
	switch {
	case (f.certificate == "") != (f.certificateFile == ""):
		return nil, misused("try --cert FILE --key-file FILE", "--cert and --key-file go together")
	case f.certificate != "":
		pair, err := tls.LoadX509KeyPair(f.certificate, f.certificateFile)
		if err != nil {
			return nil, misused("", "the certificate can't be used: %v", err)
		}
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		cfg.ListenTLS = at(f.mqtts)
		if f.ws != 0 {
			cfg.ListenWSS = at(f.ws)
		}
	case f.ws != 0:
		cfg.ListenWS = at(f.ws)
	}
	b, err := broker.Start(cfg)
	if err != nil {
		return nil, failed(err, "try other ports with --mqtt-port, --mqtts-port and --ws-port, or another --listen", "the broker can't listen: %v", err)
	}
	return b, nil
}

func (f *serveFlags) startSTUN(hosts []netip.Addr) (*probe.Server, error) {
	cfg := probe.ServerConfig{
		Primary:   netip.AddrPortFrom(hosts[0], f.stun),
		Alternate: netip.AddrPortFrom(hosts[len(hosts)-1], f.alternate),
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
	s, err := probe.NewServer(cfg)
	if err != nil {
		return nil, failed(err, "try other ports with --stun-port and --alternate-port, or another --listen", "the STUN server can't listen: %v", err)
	}
	return s, nil
}

// withHost puts a name in place of the host of a broker's URL.
func withHost(brokerURL, name string) string {
	scheme, rest, _ := strings.Cut(brokerURL, "://")
	hostport, path, slash := strings.Cut(rest, "/")
	_, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return brokerURL
	}
	u := scheme + "://" + net.JoinHostPort(name, port)
	if slash {
		u += "/" + path
	}
	return u
}
