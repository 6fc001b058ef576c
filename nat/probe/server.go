package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
)

// ServerConfig says where a STUN server listens and how much it puts up with.
// Only Primary must be set.
type ServerConfig struct {
	// Primary is the main address. Port 0 means any; an unspecified IP listens
	// on all of the machine's, and then the server can't name its addresses
	// and does not change its IP.
	Primary netip.AddrPort
	// Alternate is the second address of RFC 5780. With another IP and another
	// port the server listens on all four combinations. With an IP that is
	// zero or the same it has one IP and two ports: it leaves OTHER-ADDRESS
	// out, by which clients would take one for the other IP, and refuses to
	// change its IP, but not its port. With port 0 the second port is any.
	Alternate netip.AddrPort
	// OnePort leaves the second port out: no CHANGE-REQUEST either.
	OnePort bool
	// Advertise are the addresses to name in place of those that are listened
	// on, of a server behind a one-to-one NAT. Default: the same.
	AdvertisePrimary, AdvertiseAlternate netip.Addr
	NoUDP, NoTCP                         bool
	// NoCalls leaves out what our own clients ask over TCP: to be called, at
	// the endpoint they ask from and nowhere else, from another port and from
	// the Alternate IP, to see what their filters do.
	NoCalls bool

	// Rate is how many UDP requests a second one IPv4 address or IPv6 /64 may
	// send, with bursts of four times as many. Default 50. Requests for a
	// change of address may be a third of them.
	Rate float64
	// TotalRate is the same for all sources together. Default 20000.
	TotalRate float64
	// Conns bounds TCP connections, ConnsPerIP those of one IPv4 address or
	// IPv6 /64. Default 4096 and 64.
	Conns, ConnsPerIP int
	// Idle is how long a connection may say nothing. Clients hold connections
	// to hold mappings, so it is 3 minutes by default, and at least 2.
	Idle time.Duration
	// Life is how long a connection may last, Requests how many it may make.
	// Default 1 hour and 1000.
	Life     time.Duration
	Requests int

	// Open and OpenPacket open the sockets. Default: net.ListenTCP and
	// net.ListenUDP.
	Open       func(netip.AddrPort) (net.Listener, error) `json:"-"`
	OpenPacket func(netip.AddrPort) (*net.UDPConn, error) `json:"-"`

	Logger *slog.Logger // default: none
}

// ServerStats are a figure of now, and counters since NewServer.
type ServerStats struct {
	Connections int    // over TCP, open now
	UDP, TCP    uint64 // requests that were answered
	Limited     uint64 // requests above a rate, left without an answer
	TurnedAway  uint64 // connections over a cap, closed at once
	Malformed   uint64 // packets and connections that were no STUN
	Calls       uint64 // connections to clients that asked to be called
}

func (c ServerConfig) filled() (ServerConfig, error) {
	if !c.Primary.Addr().IsValid() {
		return c, errors.New("a STUN server needs an address to listen on")
	}
	if c.NoUDP && c.NoTCP {
		return c, errors.New("a STUN server with neither UDP nor TCP")
	}
	if !c.Alternate.Addr().IsValid() || c.Primary.Addr().IsUnspecified() {
		c.Alternate = netip.AddrPortFrom(c.Primary.Addr(), c.Alternate.Port())
	}
	if a, b := c.Primary.Addr(), c.Alternate.Addr(); a.Is4() != b.Is4() {
		return c, fmt.Errorf("addresses %v and %v are of two families", a, b)
	}
	if c.OnePort && c.Alternate.Addr() != c.Primary.Addr() {
		return c, errors.New("a second address needs a second port")
	}
	if p := c.Primary.Port(); !c.OnePort && p != 0 && p == c.Alternate.Port() {
		return c, fmt.Errorf("the second port is the first, %d", p)
	}
	if !c.AdvertisePrimary.IsValid() {
		c.AdvertisePrimary = c.Primary.Addr()
	}
	if !c.AdvertiseAlternate.IsValid() {
		c.AdvertiseAlternate = c.AdvertisePrimary
		if c.Alternate.Addr() != c.Primary.Addr() {
			c.AdvertiseAlternate = c.Alternate.Addr()
		}
	}
	setDefault(&c.Rate, 50)
	setDefault(&c.TotalRate, 20000)
	setDefault(&c.Conns, 4096)
	setDefault(&c.ConnsPerIP, 64)
	setDefault(&c.Idle, 3*time.Minute)
	c.Idle = max(c.Idle, 2*time.Minute)
	setDefault(&c.Life, time.Hour)
	setDefault(&c.Requests, 1000)
	if c.Open == nil {
		c.Open = func(at netip.AddrPort) (net.Listener, error) {
			return net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		}
	}
	if c.OpenPacket == nil {
		c.OpenPacket = func(at netip.AddrPort) (*net.UDPConn, error) {
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func setDefault[T int | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Server is a STUN server (RFC 8489) that helps to discover NAT behaviour (RFC
// 5780) over UDP and over TCP. It answers Binding requests and nothing else.
type Server struct {
	cfg     ServerConfig
	spots   []*spot
	limits  *limiter
	calling chan struct{}   // one for each call under way
	ctx     context.Context // ends with the server
	cancel  context.CancelFunc
	conns   *connections

	udp, tcp, limited, malformed, called atomic.Uint64

	wg   sync.WaitGroup
	once sync.Once
	done chan struct{}
}

// spot is one address that the server listens on; ip and port are 0 for the
// primary and 1 for the alternate one.
type spot struct {
	ip, port int
	at       netip.AddrPort // as listened on
	says     netip.AddrPort // as advertised; zero if unknown
	udp      *net.UDPConn
	tcp      net.Listener
}

// NewServer listens and answers until Close.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, done: make(chan struct{}), calling: make(chan struct{}, mostCalls),
		limits: newLimiter(cfg.Rate, cfg.TotalRate),
		conns:  newConnections(cfg.Conns, cfg.ConnsPerIP),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.listen(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("STUN server on %v: %w", cfg.Primary, err)
	}
	for _, p := range s.spots {
		if p.udp != nil {
			s.wg.Go(func() { s.serveUDP(p) })
		}
		if p.tcp != nil {
			s.wg.Go(func() { s.serveTCP(p) })
		}
	}
	return s, nil
}

// Serve runs a server until ctx ends.
func Serve(ctx context.Context, cfg ServerConfig) error {
	s, err := NewServer(cfg)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}

// Addrs lists where the server listens: the primary address first, then the
// same IP's other port, then the other IP's two.
func (s *Server) Addrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, p := range s.spots {
		out = append(out, p.at)
	}
	return out
}

// Addr is the primary address.
func (s *Server) Addr() netip.AddrPort { return s.spots[0].at }

// Stats gives the counters.
func (s *Server) Stats() ServerStats {
	open, turnedAway := s.conns.counts()
	return ServerStats{
		Connections: open, TurnedAway: turnedAway, UDP: s.udp.Load(), TCP: s.tcp.Load(),
		Limited: s.limited.Load(), Malformed: s.malformed.Load(), Calls: s.called.Load(),
	}
}

// Stop takes no further connections. Those that stand, and UDP, are served
// until Close.
func (s *Server) Stop() {
	for _, p := range s.spots {
		if p.tcp != nil {
			_ = p.tcp.Close()
		}
	}
}

// Close ends every connection and waits for all goroutines. It may be called
// more than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.cancel()
		s.closeSpots()
		s.conns.close()
	})
	s.wg.Wait()
	return nil
}

func (s *Server) closeSpots() {
	for _, p := range s.spots {
		if p.udp != nil {
			_ = p.udp.Close()
		}
		if p.tcp != nil {
			_ = p.tcp.Close()
		}
	}
}

// other is the address that OTHER-ADDRESS names at p: the other IP and port
// (RFC 5780 §7.4). Zero for a server with one IP: there is none.
func (s *Server) other(p *spot) netip.AddrPort {
	if o := s.sibling(p, changeIP|changePort); o != nil {
		return o.says
	}
	return netip.AddrPort{}
}

// sibling is the spot to answer from when p was asked with these flags of
// CHANGE-REQUEST; nil if there is none.
func (s *Server) sibling(p *spot, change uint32) *spot {
	ip, port := p.ip, p.port
	if change&changeIP != 0 {
		ip ^= 1
	}
	if change&changePort != 0 {
		port ^= 1
	}
	for _, o := range s.spots {
		if o.ip == ip && o.port == port {
			return o
		}
	}
	return nil
}

// reply decides what p answers to m from source, and from where; nil for
// nothing. Responses and indications get no answer, which ends loops.
func (s *Server) reply(p *spot, m message, source netip.AddrPort, stream bool) (*spot, []byte) {
	if m.class != stun.ClassRequest {
		return nil, nil
	}
	if m.method != stun.MethodBinding {
		return p, refuse(m, stun.CodeBadRequest, nil)
	}
	if len(m.unknown) > 0 {
		return p, refuse(m, stun.CodeUnknownAttribute, m.unknown)
	}
	from := p
	if m.change != 0 {
		if from = s.sibling(p, m.change); from == nil || stream {
			// A connection can't be answered from elsewhere (RFC 5780 §7.2).
			return p, refuse(m, stun.CodeUnknownAttribute, []stun.AttrType{stun.AttrChangeRequest})
		}
	}
	if stream && m.port != 0 {
		return p, refuse(m, stun.CodeUnknownAttribute, []stun.AttrType{stun.AttrResponsePort})
	}
	a := answer{seen: source, origin: from.says, other: s.other(p), plain: stream}
	if stream && !m.old {
		a.callers = s.callers(p)
	}
	return from, respond(m, a)
}
