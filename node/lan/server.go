package lan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

const (
	// lookEvery is between two looks at the links, beside those that are asked
	// for.
	lookEvery = 10 * time.Second
	// clockError is how far two clocks may be apart, as for a link's
	// certificates: each may be wrong by ten minutes.
	clockError = 20 * time.Minute
	// maxSeen is how many queries are remembered. Whoever has more sent, so that
	// an old one is forgotten, can repeat that one only in the name of its address.
	maxSeen = 1024
)

// Config is what a Server needs.
type Config struct {
	// Key is the node's, which answers for it.
	Key address.PrivateKey
	// TCP is the port on which the node listens.
	TCP uint16
	// Links gives the links to answer on, best first; the first MaxLinks count.
	// It is called now and then.
	Links func() []Link
	// Admit says who gets an answer.
	Admit func(address.Key) bool
	// Logger gets events as data. Nil means silence.
	Logger *slog.Logger
	// Now is the wall clock. Nil means time.Now.
	Now func() time.Time

	port uint16 // of tests; 0 means Port
}

func (c Config) filled() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.port == 0 {
		c.port = Port
	}
	return c
}

// Server answers those who look for the node's key.
type Server struct {
	cfg    Config
	conns  []*conn
	look   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup
	once   sync.Once

	mu      sync.Mutex // guards all from here on
	links   []Link
	limiter *limiter
	seen    *seal.Seen
	counts  Counts
}

// Counts is what became of the datagrams that came, since the start.
type Counts struct {
	Refused  uint64 // by their looks: not of our size, not from a neighbour, seen before
	Limited  uint64 // too many
	Foreign  uint64 // not sealed for us, or not by these rules
	Stale    uint64 // by a clock that is too far from ours
	Stranger uint64 // of a sender that is not admitted
	Answered uint64
}

// Serve begins to answer. It fails where neither family can be listened on.
func Serve(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg.filled(), look: make(chan struct{}, 1), limiter: newLimiter(), seen: seal.NewSeen(maxSeen)}
	var errs []error
	for _, group := range []netip.Addr{group4, group6} {
		c, err := listen(netip.AddrPortFrom(group, s.cfg.port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.conns = append(s.conns, c)
	}
	if len(s.conns) == 0 {
		return nil, fmt.Errorf("UDP port %d: %w", s.cfg.port, errors.Join(errs...))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	joined := make(map[membership]bool)
	s.join(joined)
	s.all.Go(func() { s.watch(joined) })
	for _, c := range s.conns {
		s.all.Go(func() { s.serve(c) })
	}
	return s, nil
}

// Close ends the server and waits for its goroutines. It may be called more
// than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.cancel()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.all.Wait()
	})
	return nil
}

// Look has the server look at the links soon: they may have changed.
func (s *Server) Look() {
	select {
	case s.look <- struct{}{}:
	default: // it will already
	}
}

// Counts says what became of the datagrams so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// membership is a group on a link. An interface that went and came back has
// another index.
type membership struct {
	conn  *conn
	index int
}

func (s *Server) watch(joined map[membership]bool) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.look:
		case <-ticker.C:
		}
		s.join(joined)
	}
}

// join makes the links of now those on which is answered.
func (s *Server) join(joined map[membership]bool) {
	links := s.cfg.Links()
	links = links[:min(len(links), MaxLinks)]
	here := make(map[membership]bool)
	for _, c := range s.conns {
		for _, l := range links {
			m := membership{c, l.Index}
			if here[m] = joined[m]; here[m] {
				continue
			}
			// The membership of a link that was away for a while may have lasted.
			err := c.join(l)
			if here[m] = err == nil || errno.Is(err, syscall.EADDRINUSE); !here[m] {
				s.cfg.Logger.Debug("lan: not joined", "link", l.Name, "error", err)
			}
		}
	}
	clear(joined)
	maps.Copy(joined, here)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = links
}

// serve takes what comes, one datagram after another.
func (s *Server) serve(c *conn) {
	b := make([]byte, size+1)
	for {
		n, a, err := c.read(b)
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select { // such as a datagram that is too long, on Windows
			case <-s.ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		s.take(a, b[:n])
	}
}

// take answers a datagram, if it is a query that is to be answered.
func (s *Server) take(a arrival, b []byte) {
	l, ours, ok := s.screen(a, b)
	if !ok {
		return
	}
	from, body, err := seal.Open(s.cfg.Key, b)
	if err != nil {
		s.count(&s.counts.Foreign)
		return
	}
	q, err := parseQuery(body)
	if err != nil || q.from != netip.AddrPortFrom(a.from.Addr().WithZone(""), a.from.Port()) {
		s.count(&s.counts.Foreign)
		return
	}
	if off := s.cfg.Now().Sub(q.sent).Abs(); off > clockError {
		s.cfg.Logger.Info("lan: a query is not answered: the clocks differ by more than twenty minutes", "peer", from.Short(), "by", off)
		s.count(&s.counts.Stale)
		return
	}
	if !s.cfg.Admit(from) {
		s.count(&s.counts.Stranger)
		return
	}
	if !s.remember(seal.HashOf(b)) {
		return
	}
	if err := s.answer(l, ours, a.from, from, q.nonce); err != nil {
		s.cfg.Logger.Debug("lan: not answered", "peer", from.Short(), "error", err)
		return
	}
	s.cfg.Logger.Debug("lan: answered", "peer", from.Short(), "at", a.from)
	s.count(&s.counts.Answered)
}

// screen does what costs nothing: it finds the link that a datagram came on, and
// our address there.
func (s *Server) screen(a arrival, b []byte) (l Link, ours netip.Addr, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) == size && seal.Plausible(b) && a.from.Port() >= lowestPort && a.near() && (!a.told || a.to.IsMulticast()) {
		l, ours, ok = linkOf(s.links, a)
	}
	if !ok || s.seen.Has(seal.HashOf(b)) {
		s.counts.Refused++
		return l, ours, false
	}
	if !s.limiter.allow(time.Now(), a.from.Addr().WithZone("")) {
		s.counts.Limited++
		return l, ours, false
	}
	return l, ours, true
}

// linkOf finds the link that a datagram came on, and our address there that has
// the sender for a neighbour.
func linkOf(links []Link, a arrival) (Link, netip.Addr, bool) {
	for _, l := range links {
		if a.told && a.link != l.Index {
			continue
		}
		if ours, ok := l.toward(a.from.Addr()); ok {
			return l, ours, true
		}
	}
	return Link{}, netip.Addr{}, false
}

// remember notes a query that is about to be answered, and reports whether it is
// new: it may have come on two sockets at once.
func (s *Server) remember(h seal.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.Add(h) {
		return true
	}
	s.counts.Refused++
	return false
}

// answer tells a neighbour where we listen.
func (s *Server) answer(l Link, ours netip.Addr, to netip.AddrPort, peer address.Key, n nonce) error {
	body := answer{nonce: n, at: netip.AddrPortFrom(ours, s.cfg.TCP)}.append(nil)
	sealed, err := seal.Seal(s.cfg.Key, peer, body)
	if err != nil {
		return err
	}
	c, err := open(ours, l)
	if err != nil {
		return err
	}
	defer c.Close()
	if to.Addr().Is6() {
		to = netip.AddrPortFrom(to.Addr().WithZone(l.Name), to.Port())
	}
	_, err = c.WriteToUDPAddrPort(sealed, to)
	return err
}

func (s *Server) count(n *uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}
