package relay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"
)

// Config says how a node uses relays.
type Config struct {
	// Dialer makes the connections to the relay. The zero value will do.
	Dialer net.Dialer
	// Roots are whom certificates are checked against. Nil means the system's.
	Roots *x509.CertPool
	// Now is the wall clock, for credentials. Nil means time.Now.
	Now func() time.Time
	// Logger gets events. Nil means silence.
	Logger *slog.Logger
}

// retransmission is pion/turn's, which repeats requests over TCP too: it has no
// use there, and is put off until after every deadline of ours.
const retransmission = time.Minute

// closingTime bounds the last message to the relay.
const closingTime = time.Second

// listener is what a *client.TCPAllocation of pion/turn does for us; that
// package is internal.
type listener interface {
	net.Listener
	SetDeadline(time.Time) error
}

// Allocation is an endpoint on a relay that leads to us for as long as the
// control connection stands. It is refreshed by itself.
type Allocation struct {
	place   Place
	server  server
	now     func() time.Time
	addr    netip.AddrPort
	control *control
	client  *turn.Client
	turn    listener
	accept  func(net.Conn) (net.Conn, error)
	connect func(net.Conn, *net.TCPAddr) (net.Conn, error)

	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex
	open    int  // connections
	retired bool // and to be closed with the last of them
}

// Allocate reserves an endpoint at place. An error is an *Error.
func Allocate(ctx context.Context, place Place, cfg Config) (*Allocation, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := newServer(place, cfg)
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, &Error{place, "reaching it", err}
	}
	s.at = conn.RemoteAddr().String() // of several, the one that has the allocation
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	a, err := allocate(ctx, conn, s, place, cfg)
	if err == nil && !stop() {
		_ = a.Close()
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &Error{place, "allocating", err}
	}
	return a, nil
}

func allocate(ctx context.Context, conn net.Conn, s server, place Place, cfg Config) (*Allocation, error) {
	a := &Allocation{place: place, server: s, now: cfg.Now, control: &control{Conn: conn, ended: make(chan struct{})}, closed: make(chan struct{})}
	user, password := place.credentials(cfg.Now())
	var err error
	a.client, err = turn.NewClient(&turn.ClientConfig{
		Conn: a.control, TURNServerAddr: conn.RemoteAddr().String(), Username: user, Password: password,
		RTO: retransmission, LoggerFactory: quiet{cfg.Logger},
	})
	if err != nil {
		return nil, err
	}
	if err := a.client.Listen(); err != nil {
		return nil, err
	}
	reached, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // what waits for an answer is not told of the connection's end
		select {
		case <-a.control.ended:
			cancel()
		case <-reached.Done():
		}
	}()
	t, err := a.client.AllocateTCPWithContext(reached)
	if err != nil {
		if ctx.Err() == nil && reached.Err() != nil {
			err = errors.New("the relay ended the connection")
		}
		a.client.Close()
		return nil, err
	}
	a.turn = t
	a.accept = func(c net.Conn) (net.Conn, error) {
		conn, err := t.AcceptTCPWithConn(c)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	a.connect = func(c net.Conn, to *net.TCPAddr) (net.Conn, error) {
		conn, err := t.DialTCPWithConn(c, "tcp", to)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	at := t.Addr().(*net.TCPAddr).AddrPort()
	a.addr = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if !a.addr.IsValid() || a.addr.Port() == 0 || a.addr.Addr().IsUnspecified() || a.addr.Addr().Zone() != "" {
		_ = a.Close()
		return nil, fmt.Errorf("the relay gave %v, which nobody can dial", a.addr)
	}
	return a, nil
}

// Addr is the endpoint on the relay that the peer is to dial.
func (a *Allocation) Addr() netip.AddrPort { return a.addr }

// Server is where the relay itself is reached, as it was found at Allocate.
func (a *Allocation) Server() netip.AddrPort { return endpointOf(a.control.RemoteAddr()) }

// Retire has the endpoint given back with the last of its connections, or now
// where there are none.
func (a *Allocation) Retire() {
	a.control.settled.Store(true)
	a.mu.Lock()
	a.retired = true
	last := a.open == 0
	a.mu.Unlock()
	if last {
		_ = a.Close()
	}
}

func (a *Allocation) enter() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open++
}

func (a *Allocation) leave() {
	a.mu.Lock()
	a.open--
	last := a.retired && a.open == 0
	a.mu.Unlock()
	if last {
		_ = a.Close()
	}
}

// Close gives the endpoint back, which ends every connection through it.
func (a *Allocation) Close() error {
	a.once.Do(func() {
		close(a.closed)
		_ = a.control.SetWriteDeadline(time.Now().Add(closingTime))
		if a.turn != nil {
			_ = a.turn.Close()
		}
		_ = a.control.Conn.Close()
		a.client.Close()
		<-a.control.ended
	})
	return nil
}

// control is the connection to the relay on which TURN is spoken, message by
// message, as a net.PacketConn, which is what pion/turn's client takes.
type control struct {
	net.Conn
	settled atomic.Bool // no further connection is wanted
	ended   chan struct{}
	once    sync.Once
}

// ReadFrom reads one message. Once settled, attempts of others are left to
// their timeout: pion/turn would stop reading after ten that nobody accepts.
func (c *control) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, err := readFrame(c.Conn, p)
		if err != nil {
			c.once.Do(func() { close(c.ended) })
			return 0, nil, err
		}
		if c.settled.Load() && typeOf(p[:n]) == connectionAttempt {
			continue
		}
		return n, c.RemoteAddr(), nil
	}
}

func (c *control) WriteTo(p []byte, _ net.Addr) (int, error) { return c.Write(p) }
