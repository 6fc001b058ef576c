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
)

// places makes the endpoints of allocations.
type places struct {
	cfg      ServerConfig
	host     netip.Addr
	counters *counters
}

var _ turn.RelayAddressGenerator = (*places)(nil)

var errTCPOnly = errors.New("this relay has TCP allocations only, and does not dial")

func (p *places) Validate() error { return nil }

func (p *places) AllocatePacketConn(turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	return nil, nil, errTCPOnly
}

func (p *places) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errTCPOnly }

func (p *places) AllocateListener(c turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	if strings.HasSuffix(c.Network, "4") != p.cfg.Relayed.Is4() {
		return nil, nil, fmt.Errorf("no %s here", c.Network)
	}
	l, err := p.listen(c.Network)
	if err != nil {
		return nil, nil, err
	}
	p.counters.allocated.Add(1)
	at := &net.TCPAddr{IP: p.cfg.Relayed.AsSlice(), Port: l.Addr().(*net.TCPAddr).Port}
	e := &endpoint{Listener: l, bytes: &p.counters.bytes, limit: rate.NewLimiter(rate.Limit(p.cfg.Rate), max(p.cfg.Rate/4, leastRate)), left: p.cfg.Bytes, closed: make(chan struct{})}
	age := time.AfterFunc(p.cfg.MaxAge, func() { _ = e.Close() }) // which ends the allocation
	e.mu.Lock()
	e.age = age // Close may be under way already where MaxAge is short
	e.mu.Unlock()
	return e, at, nil
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
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return l, err
}

// endpoint is where the peers of one allocation come in. All its connections
// share its budgets.
type endpoint struct {
	net.Listener
	limit  *rate.Limiter
	bytes  *atomic.Uint64 // relayed by all
	age    *time.Timer
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex
	left int64 // bytes
	open int
}

// maxPeers is how many connections an allocation may have at once: the one that
// is wanted, and strangers who share the peer's address.
const maxPeers = 8

func (e *endpoint) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			return nil, err
		}
		e.mu.Lock()
		ok := e.open < maxPeers
		if ok {
			e.open++
		}
		e.mu.Unlock()
		if ok {
			return &peer{Conn: c, endpoint: e}, nil
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
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
