package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/turn/v5"
	"golang.org/x/time/rate"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// places makes the endpoints of allocations.
type places struct {
	cfg      ServerConfig
	host     netip.Addr
	counters *counters

	work      sync.WaitGroup // of all endpoints
	mu        sync.Mutex
	endpoints map[netip.AddrPort]*endpoint // by the address that peers know
}

func newPlaces(cfg ServerConfig, host netip.Addr, c *counters) *places {
	return &places{cfg: cfg, host: host, counters: c, endpoints: make(map[netip.AddrPort]*endpoint)}
}

var _ turn.RelayAddressGenerator = (*places)(nil)

var errTCPOnly = errors.New("this relay has TCP allocations only")

func (p *places) Validate() error { return nil }

func (p *places) AllocatePacketConn(turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	return nil, nil, errTCPOnly
}

func (p *places) AllocateListener(c turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	if strings.HasSuffix(c.Network, "4") != p.cfg.Relayed.Is4() {
		return nil, nil, fmt.Errorf("no %s here", c.Network)
	}
	l, err := p.listen(c.Network)
	if err != nil {
		return nil, nil, err
	}
	p.counters.allocated.Add(1)
	e := &endpoint{
		Listener: l, places: p, at: netip.AddrPortFrom(p.cfg.Relayed, uint16(l.Addr().(*net.TCPAddr).Port)), lent: isLent(c.UserID),
		bytes: &p.counters.bytes, limit: rate.NewLimiter(rate.Limit(p.cfg.Rate), max(p.cfg.Rate/4, leastRate)), left: p.cfg.Bytes,
		arrived: make(chan net.Conn), closed: make(chan struct{}),
	}
	p.mu.Lock()
	p.endpoints[e.at] = e
	p.mu.Unlock()
	p.work.Go(e.listen)
	age := time.AfterFunc(p.cfg.MaxAge, func() { _ = e.Close() }) // which ends the allocation
	e.mu.Lock()
	e.age = age // Close may be under way already where MaxAge is short
	e.mu.Unlock()
	return e, net.TCPAddrFromAddrPort(e.at), nil
}

func (p *places) find(a net.Addr) *endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints[endpointOf(a)]
}

func (p *places) forget(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[e.at] == e {
		delete(p.endpoints, e.at)
	}
}

// maxPortTries bounds the search for a port that is not taken.
const maxPortTries = 1024

// listen takes any port of the range, the first that is free from a random one
// on.
func (p *places) listen(network string) (l *net.TCPListener, err error) {
	ports := int(p.cfg.LastPort) - int(p.cfg.FirstPort) + 1
	from := rand.IntN(ports)
	for n := range min(ports, maxPortTries) {
		port := p.cfg.FirstPort + uint16((from+n)%ports)
		l, err = net.ListenTCP(network, net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.host, port)))
		if !errno.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return l, err
}

// endpoint is where the peers of one allocation come in. All its connections
// share its budgets.
type endpoint struct {
	net.Listener
	places  *places
	at      netip.AddrPort // as peers know it
	lent    bool           // made with credentials that were lent (see Lend)
	limit   *rate.Limiter
	bytes   *atomic.Uint64 // relayed by all
	age     *time.Timer
	arrived chan net.Conn // from outside and from other endpoints
	once    sync.Once
	closed  chan struct{}

	mu   sync.Mutex
	left int64 // bytes
	open int
}

// maxPeers is how many connections an allocation may have at once: the one that
// is wanted, and strangers who share the peer's address.
const maxPeers = 8

// Accept gives the next connection from outside or from another endpoint.
func (e *endpoint) Accept() (net.Conn, error) {
	select {
	case c := <-e.arrived:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

// listen takes the connections from outside, until Close.
func (e *endpoint) listen() {
	for {
		c, err := acceptFrom(e.Listener, e.closed)
		if err != nil {
			_ = e.Close()
			return
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		if e.lent {
			_ = c.Close()
		} else if p := e.admit(c); p != nil {
			_ = c.(*net.TCPConn).SetLinger(-1)
			_ = e.arrive(p)
		}
	}
}

// admit counts c, or closes it where there are too many.
func (e *endpoint) admit(c net.Conn) net.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open >= maxPeers {
		_ = c.Close()
		return nil
	}
	e.open++
	return &peer{Conn: c, endpoint: e}
}

// arrive hands a connection to Accept, or closes it.
func (e *endpoint) arrive(p net.Conn) error {
	select {
	case e.arrived <- p:
		return nil
	case <-e.closed:
		_ = p.Close()
		return net.ErrClosed
	}
}

func (e *endpoint) Close() error {
	err := net.ErrClosed
	e.once.Do(func() {
		e.mu.Lock()
		if e.age != nil {
			e.age.Stop()
		}
		e.mu.Unlock()
		close(e.closed)
		e.places.forget(e)
		err = e.Listener.Close()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

var errUsedUp = errors.New("the allocation's bytes are used up")

// spend takes n bytes, and waits until the rate allows them.
func (e *endpoint) spend(n int) error {
	e.mu.Lock()
	e.left -= int64(n)
	over := e.left < 0
	e.mu.Unlock()
	if !over {
		e.bytes.Add(uint64(n))
	}
	if over {
		_ = e.Close()
		return errUsedUp
	}
	for n > 0 {
		k := min(n, e.limit.Burst())
		r := e.limit.ReserveN(time.Now(), k)
		if d := r.Delay(); d > 0 {
			t := time.NewTimer(d)
			select {
			case <-t.C:
			case <-e.closed:
				t.Stop()
				return net.ErrClosed
			}
		}
		n -= k
	}
	return nil
}

// peer is a connection of a peer. What is read from it and written to it is
// what the allocation relays.
type peer struct {
	net.Conn
	endpoint *endpoint
	once     sync.Once
}

func (p *peer) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		if e := p.endpoint.spend(n); e != nil {
			return 0, e
		}
	}
	return n, err
}

func (p *peer) Write(b []byte) (int, error) {
	if err := p.endpoint.spend(len(b)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *peer) Close() error {
	p.once.Do(func() {
		p.endpoint.mu.Lock()
		p.endpoint.open--
		p.endpoint.mu.Unlock()
	})
	return p.Conn.Close()
}
