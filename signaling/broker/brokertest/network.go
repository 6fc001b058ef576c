package brokertest

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Network is one in memory, for tests on fake time (testing/synctest): there,
// nothing may wait for a socket. Its zero value is ready for use. What is written
// waits until it is read.
type Network struct {
	mu        sync.Mutex
	port      int // the last one that was given
	listeners map[string]*listener
	silent    map[string]bool
}

// Listen is a broker.Config.Open. Port 0 is any.
func (n *Network) Listen(_, address string) (net.Listener, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port == 0 {
		n.port++
		at.Port = n.port
	}
	if n.listeners[at.String()] != nil {
		return nil, syscall.EADDRINUSE
	}
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := &listener{network: n, at: at, dialled: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[at.String()] = l
	return l, nil
}

// Dial is a mqtt.Config.Dial.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.port++
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n.port}
	n.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.dialled <- &conn{far, n, l.at, from, address}:
		return &conn{near, n, from, l.at, address}, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Silence has everything that is written on connections to that address lost, both
// ways, until it is undone. They stand all the same, and new ones as well.
func (n *Network) Silence(address string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent == nil {
		n.silent = map[string]bool{}
	}
	n.silent[address] = on
}

func (n *Network) isSilent(address string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.silent[address]
}

type listener struct {
	network *Network
	at      *net.TCPAddr
	dialled chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialled:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.at.String())
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.at }

// conn is one end of a connection to an address.
type conn struct {
	net.Conn
	network       *Network
	local, remote *net.TCPAddr
	to            string
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) Write(p []byte) (int, error) {
	if c.network.isSilent(c.to) {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
