package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// ServerConfig says what a Server is. Listen and Secret must be set.
type ServerConfig struct {
	// Listen is where TURN is spoken, over TCP: "host:port".
	Listen string
	// TLS has clients who begin with TLS served on the same port. Nil means
	// that they are turned away.
	TLS *tls.Config
	// Relayed is the address of allocations, as peers dial it. Default: the
	// host of Listen, which then must be an address.
	Relayed netip.Addr
	// Secret is what credentials are made of (see Credentials).
	Secret string
	// AllowPrivate lets peers in private networks, and on this machine, be
	// relayed to: for laboratories and LANs.
	AllowPrivate bool
	// PerUser and PerIP are how many allocations one user name and one client
	// address (IPv6: /64) may have. 0 means 64 and 16.
	PerUser, PerIP int
	// Total is how many there may be in all. 0 means 256.
	Total int
	// Rate is how many bytes a second an allocation may relay, both ways
	// together. 0 means 4 MiB; below 64 KiB is 64 KiB.
	Rate int
	// Bytes is how many bytes an allocation may relay. 0 means 16 GiB.
	Bytes int64
	// MaxAge is how long an allocation may last. 0 means 24 h.
	MaxAge time.Duration
	// FirstPort and LastPort are those that allocations are made on, one each.
	// 0 and 0 mean any.
	FirstPort, LastPort uint16
	// Open opens the listener on Listen. Nil means net.Listen.
	Open func(network, address string) (net.Listener, error)
	// Now is the wall clock. Nil means time.Now.
	Now func() time.Time
	// Logger gets events. Nil means silence.
	Logger *slog.Logger
}

const (
	realm = "sallyport"
	// leastRate lets one buffer through at once.
	leastRate = 64 << 10
	// clientsPerSite is how many connections one address may have open for each
	// allocation that it may have: the control connection, and those for data.
	clientsPerSite = 6
)

func (c ServerConfig) withDefaults() ServerConfig {
	set := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	set(&c.PerUser, 64)
	set(&c.PerIP, 16)
	set(&c.Total, 256)
	set(&c.Rate, 4<<20)
	c.Rate = max(c.Rate, leastRate)
	if c.Bytes <= 0 {
		c.Bytes = 16 << 30
	}
	if c.MaxAge <= 0 {
		c.MaxAge = 24 * time.Hour
	}
	if c.Open == nil {
		c.Open = net.Listen
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server is a TURN server for TCP allocations. It never dials anybody: peers
// come to it, from addresses that the client permitted, so that there is
// nothing to scan or to attack through it. UDP allocations are refused, and a
// Connect request leads to other allocations of the same server alone.
type Server struct {
	cfg   ServerConfig
	turn  *turn.Server
	front *front
	ends  *places
	addr  netip.AddrPort
	quota *quota
	once  sync.Once

	counters counters
}

// counters are those of ServerStats.
type counters struct {
	allocated, bytes, unauthorized, overQuota, peersRefused atomic.Uint64
}

// ServerStats are two figures of now, and counters since NewServer.
type ServerStats struct {
	Clients      int    // connections of clients, open now
	Allocations  int    // now
	Allocated    uint64 // allocations that were granted
	Bytes        uint64 // relayed, both ways together
	Unauthorized uint64 // requests with credentials that are wrong or over
	OverQuota    uint64 // allocations refused because of a quota
	PeersRefused uint64 // permissions refused because of the peer's address, or of too many
	TurnedAway   uint64 // connections over a cap, closed at once
}

// NewServer starts a server.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg = cfg.withDefaults()
	if cfg.Secret == "" || len(cfg.Secret) > maxSecret {
		return nil, fmt.Errorf("a relay's secret has 1 to %d bytes", maxSecret)
	}
	if cfg.LastPort < cfg.FirstPort || cfg.FirstPort == 0 && cfg.LastPort != 0 {
		return nil, fmt.Errorf("a relay can't have the ports %d to %d", cfg.FirstPort, cfg.LastPort)
	}
	l, err := cfg.Open("tcp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	s := &Server{cfg: cfg, addr: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), quota: newQuota(cfg.PerUser, cfg.PerIP, cfg.Total)}
	if !cfg.Relayed.IsValid() {
		cfg.Relayed = s.addr.Addr()
	}
	if cfg.Relayed = cfg.Relayed.Unmap(); cfg.Relayed.IsUnspecified() || cfg.Relayed.Zone() != "" {
		_ = l.Close()
		return nil, errors.New("a relay needs the address by which peers reach it")
	}
	host := s.addr.Addr()
	if host.IsUnspecified() && cfg.Relayed.Is4() {
		host = netip.IPv4Unspecified() // a socket for both families was handed in
	}
	s.ends = newPlaces(cfg, host, &s.counters)
	s.front = newFront(l, cfg.TLS, cfg.PerIP*clientsPerSite, cfg.Total*clientsPerSite, s.quota.release)
	s.turn, err = turn.NewServer(turn.ServerConfig{
		Realm: realm, AuthHandler: s.authenticate, QuotaHandler: s.admit,
		EventHandler: turn.EventHandler{OnAllocationDeleted: func(src, _ net.Addr, _, user, _ string) {
			s.quota.release(endpointOf(src))
			s.cfg.Logger.Info("allocation ended", "client", src, "user", user)
		}},
		LoggerFactory: quiet{cfg.Logger},
		ListenerConfigs: []turn.ListenerConfig{{
			Listener: s.front, PermissionHandler: s.permit,
			RelayAddressGenerator: s.ends,
		}},
	})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return s, nil
}

// Addr is where TURN is spoken.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Allocations is how many there are.
func (s *Server) Allocations() int { return s.turn.AllocationCount() }

// Stats gives the counters.
func (s *Server) Stats() ServerStats {
	open, turnedAway := s.front.counts()
	return ServerStats{
		Clients: open, Allocations: s.Allocations(), Allocated: s.counters.allocated.Load(), Bytes: s.counters.bytes.Load(),
		Unauthorized: s.counters.unauthorized.Load(), OverQuota: s.counters.overQuota.Load(), PeersRefused: s.counters.peersRefused.Load(),
		TurnedAway: turnedAway,
	}
}

// Stop takes no further connections of clients. What is relayed goes on until
// Close.
func (s *Server) Stop() { s.front.stop() }

// Close ends all that is relayed, and waits for it.
func (s *Server) Close() error {
	s.once.Do(func() {
		_ = s.turn.Close()
		s.front.end()
		s.ends.work.Wait()
	})
	return nil
}

// authenticate gives the key of a user. A new allocation needs credentials that
// are still valid; one that exists may be kept with those that it was made with.
func (s *Server) authenticate(ra *turn.RequestAttributes) (string, []byte, bool) {
	name, until, ok := readUser(ra.Username)
	if !ok || ra.Realm != realm || ra.Method == stun.MethodAllocate && s.cfg.Now().After(until) {
		s.counters.unauthorized.Add(1)
		s.cfg.Logger.Info("credentials refused", "client", ra.SrcAddr)
		return "", nil, false
	}
	return name, turn.GenerateAuthKey(ra.Username, realm, passwordFor(s.cfg.Secret, ra.Username)), true
}

func (s *Server) admit(user, _ string, src net.Addr) bool {
	ok := s.quota.take(endpointOf(src), user)
	if !ok {
		s.counters.overQuota.Add(1)
		s.cfg.Logger.Info("quota used up", "client", src, "user", user)
	}
	return ok
}

func (s *Server) permit(client net.Addr, peer net.IP) bool {
	a, _ := netip.AddrFromSlice(peer)
	ok := mayReach(a, s.cfg.AllowPrivate) && s.quota.permit(endpointOf(client), a.Unmap())
	if !ok {
		s.counters.peersRefused.Add(1)
		s.cfg.Logger.Info("peer refused", "client", client, "peer", a)
	}
	return ok
}

func endpointOf(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), t.AddrPort().Port())
}
