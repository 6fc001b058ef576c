package node

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat/errno"
)

// warmPort is the one local TCP port from which the node listens, talks to its
// brokers and to STUN servers, and punches: an endpoint-independent NAT then
// keeps one external port open for all of it.
type warmPort struct {
	port     uint16
	listener net.Listener
	lock     io.Closer
	dialled
}

// openWarm takes port, or any free one for 0. Two processes on one port would
// silently share its connections, so the port is locked as well.
func openWarm(ctx context.Context, port uint16) (*warmPort, error) {
	const tries = 20
	for try := 1; ; try++ {
		w, err := takePort(ctx, port)
		if err == nil || port != 0 || try == tries {
			return w, err
		}
	}
}

func takePort(ctx context.Context, port uint16) (*warmPort, error) {
	// Without SO_REUSEPORT first: this fails where anybody else listens, who
	// would otherwise share connections with us unnoticed.
	alone, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
	if err != nil {
		return nil, &PortError{Port: port, Err: err}
	}
	if port == 0 {
		port = uint16(alone.Addr().(*net.TCPAddr).Port)
	}
	_ = alone.Close()
	lock, err := lockPort(port)
	if err != nil {
		return nil, &PortError{Port: port, Locking: true, Err: err}
	}
	lc := net.ListenConfig{Control: reuseport.Control, KeepAliveConfig: keepAlive}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
	if err != nil {
		_ = lock.Close()
		return nil, &PortError{Port: port, Err: err}
	}
	return &warmPort{port: port, listener: l, lock: lock}, nil
}

// keepAlive finds out about dead peers within about a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 4}

// DialContext dials from the warm port, and from any other where the four-tuple
// is still held by an old connection to the same place.
func (w *warmPort) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{Port: int(w.port)}, Control: reuseport.Control, KeepAliveConfig: keepAlive}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, network, addr)
	if errno.Is(err, syscall.EADDRNOTAVAIL) || errno.Is(err, syscall.EADDRINUSE) {
		c, err = coldDialer().DialContext(ctx, network, addr)
	}
	if err == nil {
		w.add(c)
	}
	return c, err
}

// coldDialer dials from any free port.
func coldDialer() *net.Dialer {
	d := &net.Dialer{KeepAliveConfig: keepAlive}
	d.SetMultipathTCP(false)
	return d
}

func (w *warmPort) close() error { return errors.Join(w.listener.Close(), w.lock.Close()) }
