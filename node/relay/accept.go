package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Accept waits for the next connection of a permitted host to Addr. Who it is
// is not known: a permission covers all that share an address. One Accept may
// wait at a time.
func (a *Allocation) Accept(ctx context.Context) (*Conn, error) {
	for {
		conn, err := a.bind(ctx, errLostAttempt, a.accept)
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

// Connect has the relay connect Addr with an endpoint on a relay, where whoever
// has that one must have permitted the address of this one. A Server does so for
// its own endpoints only. The end of ctx closes the allocation.
func (a *Allocation) Connect(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	// pion/turn's call has no context: it ends with the answer or with Close.
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
		case <-a.control.ended:
		case <-over:
			return
		}
		_ = a.Close()
	}()
	conn, err := a.bind(ctx, errNotConnected, func(c net.Conn) (net.Conn, error) { return a.connect(c, net.TCPAddrFromAddrPort(to)) })
	close(over)
	<-ended
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &Error{a.place, fmt.Sprintf("connecting with %v", to), err}
	}
	return conn, nil
}

var (
	errLostAttempt  = errors.New("the connection was gone")
	errNotConnected = errors.New("it does not connect the two")
)

// bindTime bounds the binding of a connection.
const bindTime = 5 * time.Second

// bind makes a connection to the relay, for f to bind to a peer's. Where the
// relay says no to that, the error is failed.
func (a *Allocation) bind(ctx context.Context, failed error, f func(net.Conn) (net.Conn, error)) (*Conn, error) {
	// The connection for the data is made ahead, which spares a round trip.
	raw, err := a.server.dial(ctx)
	if err != nil {
		return nil, err
	}
	data := &binding{TCPConn: raw.tcp, wire: raw, bindTime: bindTime}
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
				return // bound
			}
		}
		_ = a.turn.SetDeadline(time.Unix(1, 0))
		_ = data.SetDeadline(time.Unix(1, 0))
	}()
	conn, err := f(data)
	gone := isClosed(a.closed) || isClosed(a.control.ended)
	cancel()
	<-lost
	if err == nil && !gone && ctx.Err() == nil {
		_ = data.SetDeadline(time.Time{})
		a.enter()
		return &Conn{wire: raw, allocation: a, remote: conn.RemoteAddr()}, nil
	}
	_ = data.SetLinger(0)
	_ = raw.tcp.Close()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case gone:
		return nil, net.ErrClosed
	}
	return nil, fmt.Errorf("%w: %w", failed, err)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
