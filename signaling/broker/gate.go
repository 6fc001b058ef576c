package broker

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// gate counts the connections of all listeners, turns away those over a cap,
// and closes those that are not let through (passed) in time.
type gate struct {
	maxAll, maxPerIP int

	done chan struct{} // closed by stop

	mu         sync.Mutex
	closed     bool
	end        time.Time // of all writes, once they must hurry
	listeners  []net.Listener
	open       map[*guarded]struct{}
	perIP      map[netip.Prefix]int
	turnedAway uint64
}

func newGate(maxAll, maxPerIP int) *gate {
	return &gate{
		maxAll:   maxAll,
		maxPerIP: maxPerIP,
		done:     make(chan struct{}),
		open:     make(map[*guarded]struct{}),
		perIP:    make(map[netip.Prefix]int),
	}
}

// guarded is an admitted TCP connection. Its Close gives its place back.
type guarded struct {
	net.Conn
	gate  *gate
	from  netip.Prefix
	watch *time.Timer
	once  sync.Once
}

// guardedListener is a listener whose Accept gives only admitted connections.
type guardedListener struct {
	net.Listener
	gate    *gate
	timeout time.Duration
}

func (g *gate) guard(l net.Listener, timeout time.Duration) net.Listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners = append(g.listeners, l)
	return &guardedListener{l, g, timeout}
}

// Accept waits for a connection that is within the caps. It returns an error
// only when the listener is closed: running out of file descriptors passes.
func (l *guardedListener) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-l.gate.done:
			}
			continue
		}
		pause = 0
		if g := l.gate.admit(c, l.timeout); g != nil {
			return g, nil
		}
		_ = c.Close()
	}
}

// admit takes c in, or gives nil if a cap is reached or the gate is closed.
func (g *gate) admit(c net.Conn, timeout time.Duration) *guarded {
	from := origin(c.RemoteAddr())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.open) >= g.maxAll || g.perIP[from] >= g.maxPerIP {
		g.turnedAway++
		return nil
	}
	gc := &guarded{Conn: c, gate: g, from: from}
	g.open[gc] = struct{}{}
	g.perIP[from]++
	gc.watch = time.AfterFunc(timeout, func() { _ = gc.end() })
	return gc
}

// passed says that the connection has introduced itself and may stay.
func (c *guarded) passed() { c.watch.Stop() }

// SetWriteDeadline sets a deadline that is no later than the end of all writes.
func (c *guarded) SetWriteDeadline(t time.Time) error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock() // until it is set: hurry may be about to
	if end := c.gate.end; !end.IsZero() && end.Before(t) {
		t = end
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close closes the connection; only the first call counts.
func (c *guarded) Close() error {
	c.watch.Stop()
	return c.end()
}

func (c *guarded) end() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		c.gate.release(c)
	})
	return err
}

func (g *gate) release(c *guarded) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
	if g.perIP[c.from]--; g.perIP[c.from] <= 0 {
		delete(g.perIP, c.from)
	}
}

func (g *gate) counts() (open int, turnedAway uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open), g.turnedAway
}

// stop closes the listeners, and admits no more.
func (g *gate) stop() {
	g.mu.Lock()
	stopped := g.closed
	g.closed = true
	listeners := g.listeners
	g.mu.Unlock()
	if stopped {
		return
	}
	close(g.done)
	for _, l := range listeners {
		_ = l.Close()
	}
}

// hurry gives all writes until end, those under way included.
func (g *gate) hurry(end time.Time) {
	g.mu.Lock()
	g.end = end
	open := g.connections()
	g.mu.Unlock()
	for _, c := range open {
		_ = c.SetWriteDeadline(end)
	}
}

// close ends every connection. The gate is stopped.
func (g *gate) close() {
	g.mu.Lock()
	open := g.connections()
	g.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

// connections are those that are open. The mutex is held.
func (g *gate) connections() []*guarded {
	var open []*guarded
	for c := range g.open {
		open = append(open, c)
	}
	return open
}

// origin is what connections are counted by: an IPv4 address, or the /64 of an
// IPv6 address, since whoever has one address there has them all.
func origin(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}
