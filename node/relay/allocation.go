package relay

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

	"github.com/pion/turn/v5"
)

// Config says how a node uses relays.
type Config struct {
	// Dialer makes the connections to the relay. The zero value will do.
	Dialer net.Dialer
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
	dialer  net.Dialer
	addr    netip.AddrPort
	control *control
	client  *turn.Client
	turn    listener
	accept  func(net.Conn) (net.Conn, error)

	once   sync.Once
	closed chan struct{}
}

// Allocate reserves an endpoint at place. An error is an *Error.
func Allocate(ctx context.Context, place Place, cfg Config) (*Allocation, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	conn, err := cfg.Dialer.DialContext(ctx, "tcp", place.Host)
	if err != nil {
		return nil, &Error{place, "reaching it", err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	a, err := allocate(ctx, conn, place, cfg)
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

func allocate(ctx context.Context, conn net.Conn, place Place, cfg Config) (*Allocation, error) {
	a := &Allocation{place: place, dialer: cfg.Dialer, control: &control{Conn: conn, ended: make(chan struct{})}, closed: make(chan struct{})}
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

// Permit lets the hosts with these addresses connect to Addr (RFC 8656 §9: a
// permission is for an address, whatever the port). It fails where none of them
// may, with the *Error of the first.
func (a *Allocation) Permit(ctx context.Context, peers ...netip.Addr) error {
	var first error
	permitted := 0
	for _, p := range peers {
		if p.Is4() != a.addr.Addr().Is4() {
			continue
		}
		err := a.permit(ctx, p)
		switch {
		case err == nil:
			permitted++
		case ctx.Err() != nil:
			return &Error{a.place, "permitting " + p.String(), ctx.Err()}
		case first == nil:
			first = &Error{a.place, "permitting " + p.String(), err}
		}
	}
	switch {
	case permitted > 0:
		return nil
	case first != nil:
		return first
	}
	return &Error{a.place, "permitting the peer", fmt.Errorf("it has no address of the family of %v", a.addr)}
}

func (a *Allocation) permit(ctx context.Context, p netip.Addr) error {
	done := make(chan error, 1)
	// pion/turn's call has no context: it ends with the answer or with Close.
	go func() { done <- a.client.CreatePermission(net.TCPAddrFromAddrPort(netip.AddrPortFrom(p, 0))) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-a.control.ended:
	}
	_ = a.Close()
	<-done
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the relay ended the connection")
}

// Accept waits for the next connection of a permitted host to Addr. Who it is
// is not known: a permission covers all that share an address. One Accept may
// wait at a time.
func (a *Allocation) Accept(ctx context.Context) (*Conn, error) {
	for {
		conn, err := a.acceptOne(ctx)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, &Error{a.place, "accepting", ctx.Err()}
		case errors.Is(err, errLostAttempt):
			continue // that peer was gone before we came; the allocation stands
		}
		return nil, &Error{a.place, "accepting", err}
	}
}

var errLostAttempt = errors.New("the connection was gone")

// bindTime bounds the binding of a connection.
const bindTime = 5 * time.Second

func (a *Allocation) acceptOne(ctx context.Context) (*Conn, error) {
	// The connection for the data is made ahead, which spares a round trip.
	raw, err := a.dialer.DialContext(ctx, "tcp", a.control.RemoteAddr().String())
	if err != nil {
		return nil, err
	}
	data := &binding{TCPConn: raw.(*net.TCPConn), bindTime: bindTime}
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		select {
		case <-a.control.ended:
		case <-a.closed:
		case <-over.Done():
			if ctx.Err() == nil {
				return // accepted
			}
		}
		_ = a.turn.SetDeadline(time.Unix(1, 0))
		_ = data.SetDeadline(time.Unix(1, 0))
	}()
	conn, err := a.accept(data)
	gone := isClosed(a.closed) || isClosed(a.control.ended)
	cancel()
	<-lost
	if err == nil && !gone && ctx.Err() == nil {
		_ = data.SetDeadline(time.Time{})
		data.bound = true
		return &Conn{TCPConn: data.TCPConn, allocation: a, remote: conn.RemoteAddr()}, nil
	}
	_ = data.SetLinger(0)
	_ = data.Close()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case gone:
		return nil, net.ErrClosed
	}
	return nil, fmt.Errorf("%w: %v", errLostAttempt, err)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
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
