package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/spare"
)

// serveFlags are those of sallyport serve: what is to be served, and how.
type serveFlags struct {
	serve.Config
	ports       string
	drain       time.Duration
	config      string
	printConfig bool
}

func newServe(a *app) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a signalling broker, a STUN server and a relay",
		Long: `Run a signalling broker (MQTT), a STUN server (RFC 5780, over UDP and TCP) and a
relay (TURN with TCP allocations, RFC 6062) in one process, and print the flags
with which others use them. Nothing is stored but the secret of --turn-secret
and the names of --registry.

On the broker a node proves its key, and nobody else can listen on its topic. It
does so under the broker's name as it has dialled it: a name other than those of
--listen, --advertise and the certificate is refused.

The relay carries ciphertext between two nodes that can't reach each other. It is
for those who hold its secret, and never leads into private networks.

With two addresses (--listen twice), the STUN server can tell all kinds of NAT
apart; with one, it makes do with two ports, and says so.

SIGTERM ends it with exit status 0: nothing new is taken, what is relayed has
--drain to end, and clients are told. SIGHUP reads the certificate again, which
also happens by itself. Sockets that systemd holds (LISTEN_FDS) are used.`,
		Example: `  sallyport serve
  sallyport serve --listen 203.0.113.7 --listen 203.0.113.8
  sallyport serve --turn-port 443 --turn-secret relay.secret
  sallyport serve --listen 10.0.0.5 --advertise broker.example.org --cert cert.pem --key-file key.pem
  sallyport serve --print-config > serve.toml && sallyport serve --config serve.toml`,
		Args: nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.config != "" {
				if err := readConfig(f.config, "serve", c.Flags(), nil); err != nil {
					return err
				}
			}
			if err := f.settlePorts(c.Flags()); err != nil {
				return err
			}
			if f.printConfig {
				_, err := io.WriteString(a.out, configfile.Example("sallyport serve", c.Flags(), notInExample))
				return err
			}
			return a.serve(c.Context(), &f)
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.config, "config", "", "TOML `FILE` with keys named as these flags, which win (default: none)")
	fs.BoolVar(&f.printConfig, "print-config", false, "print such a file, with what the other flags say, and end")
	fs.StringSliceVar(&f.Listen, "listen", nil, "address to listen on, as a `HOST`; may be given twice (default: all of this machine)")
	fs.StringSliceVar(&f.Advertise, "advertise", nil, "`HOST` to print for others in place of each --listen, where this machine is known by another name or address")
	fs.StringVar(&f.ports, "ports", "", "take all ports from a range, as `FIRST-LAST`, in this order: STUN, second one of STUN, relay, broker, broker over TLS; the relay's endpoints have the rest (default: the ports below, and any for the endpoints)")
	fs.Uint16Var(&f.Broker.Port, "mqtt-port", 1883, "TCP port `N` of the broker; 0 means any")
	fs.Uint16Var(&f.Broker.TLSPort, "mqtts-port", 8883, "TCP port `N` of the broker over TLS, where there is a certificate; 0 means any")
	fs.Uint16Var(&f.Broker.WSPort, "ws-port", 0, "TCP port `N` of the broker over WebSocket, with TLS where there is a certificate (default: none)")
	fs.Uint16Var(&f.STUN.Port, "stun-port", 3478, "port `N` of the STUN server; 0 means any")
	fs.Uint16Var(&f.STUN.AlternatePort, "alternate-port", 3479, "second port `N` of the STUN server; 0 means any")
	fs.Uint16Var(&f.Relay.Port, "turn-port", 3480, "TCP port `N` of the relay; 0 means any")
	fs.BoolVar(&f.Relay.Off, "no-turn", false, "run no relay")
	fs.StringVar(&f.Relay.SecretFile, "turn-secret", "", "`FILE` with the relay's secret, made if missing (default: a new secret each time)")
	fs.BoolVar(&f.Relay.AllowPrivate, "turn-allow-private", false, "let the relay lead to peers in private networks and on this machine")
	fs.StringVar(&f.Registry.File, "registry", "", "`FILE` of a registry of nicknames, made if missing (default: no registry)")
	fs.Uint16Var(&f.Registry.Port, "registry-port", 3481, "TCP port `N` of the registry; 0 means any")
	fs.StringVar(&f.Certificate, "cert", "", "PEM `FILE` with the certificate chain")
	fs.StringVar(&f.CertificateKey, "key-file", "", "PEM `FILE` with its private key")
	fs.StringVar(&f.Metrics, "metrics", "", "serve /metrics, /healthz and /readyz over HTTP at `HOST:PORT`, on a loopback address (default: off)")
	fs.DurationVar(&f.drain, "drain", 5*time.Second, "what is relayed has `D` to end after SIGTERM")
	fs.IntVar(&f.Broker.MaxClients, "max-clients", 1000, "at most `N` connections to the broker at once")
	fs.IntVar(&f.MaxPerAddress, "max-per-address", 64, "at most `N` of them, and of those to the STUN server, from one IPv4 address or IPv6 /64")
	fs.IntVar(&f.Broker.MaxPacket, "max-packet", 16384, "at most `N` bytes in one MQTT packet")
	fs.Float64Var(&f.Broker.PublishRate, "publish-rate", 20, "at most `N` messages a second from one client of the broker")
	fs.Float64Var(&f.STUN.Rate, "stun-rate", 50, "answer at most `N` STUN requests a second to one IPv4 address or IPv6 /64")
	fs.IntVar(&f.STUN.MaxConnections, "stun-connections", 4096, "at most `N` TCP connections to the STUN server at once")
	fs.IntVar(&f.Relay.MaxAllocations, "turn-allocations", 256, "at most `N` allocations on the relay at once")
	fs.IntVar(&f.Relay.MaxPerAddress, "turn-per-address", 16, "at most `N` of them for one IPv4 address or IPv6 /64")
	fs.IntVar(&f.Relay.Rate, "turn-rate", 4<<20, "relay at most `N` bytes a second for one allocation, both ways together")
	fs.Int64Var(&f.Relay.MaxBytes, "turn-bytes", 16<<30, "relay at most `N` bytes for one allocation")
	fs.DurationVar(&f.Relay.MaxAge, "turn-age", 24*time.Hour, "end an allocation after `D`")
	fs.BoolVar(&a.json, "json", false, "one JSON object per line")
	fs.BoolVarP(&a.verbose, "verbose", "v", false, "tell what happens, and show the causes of errors")
	return c
}

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	f.Logger = a.serveLog()
	s, err := serve.Start(f.Config)
	if err != nil {
		return explainServe(err)
	}
	defer s.Close()
	defer spare.WhileIdle()()
	if !a.interactive() { // a terminal that hangs up ends us
		defer s.ReloadOnHangUp()()
	}
	a.tellServed(s.Places())
	serve.Notify("READY=1")
	<-ctx.Done()
	serve.Notify("STOPPING=1")
	a.say("Closing.")
	var told signalled
	if errors.As(context.Cause(ctx), &told) && told.Signal == syscall.SIGTERM {
		most, cancel := context.WithTimeout(context.Background(), f.drain)
		defer cancel()
		s.Drain(most)
	}
	return daemonEnd(ctx)
}

// explainServe gives an error of the services its exit status.
func explainServe(err error) error {
	var s *serve.Error
	switch {
	case !errors.As(err, &s):
		return err
	case s.Misused():
		return &failure{status: statusMisused, what: s.Error(), hint: s.Hint(), cause: s.Unwrap()}
	}
	return failed(s.Unwrap(), s.Hint(), "%v", s)
}

// servedEvent says where the services are.
type servedEvent struct {
	Event string `json:"event"` // "ready", and "servers" in the demonstration
	serve.Places
}

func (a *app) tellServed(p serve.Places) {
	if a.json {
		emit(a.out, servedEvent{"ready", p})
		return
	}
	fmt.Fprintf(a.out, "Broker: %s\nSTUN:   %s\n", strings.Join(p.Brokers, " "), strings.Join(p.STUN, " "))
	if p.TURN != "" {
		fmt.Fprintf(a.out, "Relay:  %s\n", p.TURN)
	}
	if p.Registry != "" {
		fmt.Fprintf(a.out, "Names:  %s\n", p.Registry)
	}
	if p.Metrics != "" {
		fmt.Fprintf(a.out, "Metrics: %s\n", p.Metrics)
	}
	fmt.Fprintf(a.out, "Flags:  %s\n", p.Flags)
}

// serveLog tells operators what they should know, and with -v what happens.
func (a *app) serveLog() *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelWarn}
	if a.verbose {
		options.Level = slog.LevelInfo
	}
	if a.json {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}
