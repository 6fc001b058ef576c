package lan

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// waits are how long each query waits for its answer: a Wi-Fi access point
// holds multicast back for up to 300 ms, and nobody repeats what it loses.
var waits = [...]time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}

// Patience is how long Find takes at most.
const Patience = 1500 * time.Millisecond

// What is decrypted of what comes back on a query, of one address and of all.
const (
	perSource = 4
	perWait   = 64
)

var (
	// ErrSilent is that no query was answered.
	ErrSilent = errors.New("nobody on the local networks has answered")
	// ErrNoLink is that there was nowhere to ask.
	ErrNoLink = errors.New("no network interface takes multicast")
)

// Seeker is who looks for a node.
type Seeker struct {
	Key    address.PrivateKey // of the caller, whom the owner may not admit
	Links  []Link             // where to ask; the first MaxLinks count
	Logger *slog.Logger       // nil means silence
	Now    func() time.Time   // the wall clock; nil means time.Now

	port uint16 // of tests; 0 means Port
}

// Find asks on every link where the owner of peer is, and calls found with each
// place where it listens, one call at a time. It returns when all links have
// answered, or after Patience, or when ctx ends. The error is nil where there
// was an answer; else ErrSilent, ErrNoLink with what the system said, or that
// of ctx.
func (s Seeker) Find(ctx context.Context, peer address.Key, found func(netip.AddrPort)) error {
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.port == 0 {
		s.port = Port
	}
	var mu sync.Mutex
	var errs []error
	asked, answers := false, 0
	var asking sync.WaitGroup
	for _, l := range s.Links[:min(len(s.Links), MaxLinks)] {
		for _, source := range l.sources() {
			asking.Go(func() {
				at, err := s.ask(ctx, l, source, peer)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					answers++
					found(at)
				case errors.Is(err, ErrSilent):
					asked = true
				default:
					errs = append(errs, err)
				}
			})
		}
	}
	asking.Wait()
	switch {
	case answers > 0:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case asked:
		return ErrSilent
	}
	return errors.Join(append([]error{ErrNoLink}, errs...)...)
}

// ask asks from one address until there is an answer.
func (s Seeker) ask(ctx context.Context, l Link, source netip.Addr, peer address.Key) (netip.AddrPort, error) {
	c, err := open(source, l)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.closeAfter(ctx)()
	q := query{from: c.local()}
	_, _ = rand.Read(q.nonce[:])
	group := group4
	if source.Is6() {
		group = group6.WithZone(l.Name)
	}
	var failed error
	for _, wait := range waits {
		q.sent = s.Now()
		// Sealed anew each time, since whoever answers never does so twice.
		sealed, err := seal.Seal(s.Key, peer, q.append(nil))
		if err != nil {
			return netip.AddrPort{}, err
		}
		until := time.Now().Add(wait)
		if _, failed = c.WriteToUDPAddrPort(sealed, netip.AddrPortFrom(group, s.port)); failed == nil {
			s.Logger.Debug("lan: asked", "link", l.Name, "from", q.from)
		}
		if at, ok := s.await(ctx, c, l, q.nonce, peer, until); ok {
			return at, nil
		}
		if ctx.Err() != nil {
			return netip.AddrPort{}, ctx.Err()
		}
		if failed != nil {
			return netip.AddrPort{}, failed
		}
	}
	return netip.AddrPort{}, ErrSilent
}

// await reads until the answer comes or the time is over.
func (s Seeker) await(ctx context.Context, c *conn, l Link, n nonce, peer address.Key, until time.Time) (netip.AddrPort, bool) {
	_ = c.SetReadDeadline(until)
	b := make([]byte, size+1)
	opened := make(map[netip.Addr]int)
	for total := 0; total < perWait; {
		k, a, err := c.read(b)
		if err != nil {
			if !time.Now().Before(until) || errors.Is(err, net.ErrClosed) {
				return netip.AddrPort{}, false
			}
			total++ // such as a datagram that is too long, on Windows
			continue
		}
		if _, near := l.toward(a.from.Addr()); !near || !a.near() || k != size || !seal.Plausible(b[:k]) || opened[a.from.Addr()] == perSource {
			continue
		}
		opened[a.from.Addr()]++
		total++
		at, err := s.read(a, b[:k], n, peer)
		if err != nil {
			s.Logger.Info("lan: an answer is ignored", "from", a.from, "error", err)
			continue
		}
		if at.Addr().Is6() {
			at = netip.AddrPortFrom(at.Addr().WithZone(l.Name), at.Port())
		}
		return at, true
	}
	rest := time.NewTimer(time.Until(until))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
	return netip.AddrPort{}, false
}

var (
	errOther  = errors.New("it is not signed by the node that is looked for")
	errReplay = errors.New("it answers another query")
	errAstray = errors.New("it names an address that it does not come from")
)

// read takes an answer, if it is the one to the query with that nonce.
func (s Seeker) read(a arrival, b []byte, n nonce, peer address.Key) (netip.AddrPort, error) {
	from, body, err := seal.Open(s.Key, b)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if from != peer {
		return netip.AddrPort{}, errOther
	}
	got, err := parseAnswer(body)
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case got.nonce != n:
		return netip.AddrPort{}, errReplay
	case got.at.Addr() != a.from.Addr().WithZone(""):
		return netip.AddrPort{}, errAstray
	}
	return got.at, nil
}
