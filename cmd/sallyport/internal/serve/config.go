package serve

import (
	"log/slog"
	"time"
)

// Config says what to run and within what limits. A port of 0 is any, and a
// limit of 0 the default of the service that it is for.
type Config struct {
	// Listen are the addresses to listen on: none, which is all of this machine,
	// one, or two of one family.
	Listen []string
	// Advertise are the hosts to tell others in place of those of Listen.
	Advertise []string

	// Certificate and CertificateKey are PEM files, which may be replaced while
	// they are in use; without them there is no TLS.
	Certificate, CertificateKey string

	Broker   BrokerConfig
	STUN     STUNConfig
	Relay    RelayConfig
	Registry RegistryConfig

	// MaxPerAddress is how many connections to the broker, and how many to the
	// STUN server, one IPv4 address or IPv6 /64 may have.
	MaxPerAddress int

	// Metrics is the port of a loopback address, HOST:PORT, for metrics and
	// health; without it they are not served.
	Metrics string

	Logger *slog.Logger // required
}

// BrokerConfig is that of the signalling broker.
type BrokerConfig struct {
	Port    uint16
	TLSPort uint16 // where there is a certificate
	WSPort  uint16 // over WebSocket, with TLS where there is a certificate; 0: none

	MaxClients  int
	MaxPacket   int     // bytes
	PublishRate float64 // messages a second from one client
}

// STUNConfig is that of the STUN server.
type STUNConfig struct {
	Port, AlternatePort uint16

	Rate           float64 // answers a second to one IPv4 address or IPv6 /64
	MaxConnections int
}

// RelayConfig is that of the relay.
type RelayConfig struct {
	Off        bool
	Port       uint16
	SecretFile string // made if missing; without one the secret is new each time

	// AllowPrivate lets it lead into private networks and to this machine.
	AllowPrivate bool
	// The ports of what is relayed; 0 and 0 are any.
	FirstPort, LastPort uint16

	MaxAllocations int
	MaxPerAddress  int           // of them, for one IPv4 address or IPv6 /64
	Rate           int           // bytes a second for one, both ways together
	MaxBytes       int64         // for one
	MaxAge         time.Duration // of one
}

// RegistryConfig is that of the registry of nicknames.
type RegistryConfig struct {
	File string // made if missing; without one there is no registry
	Port uint16
}
