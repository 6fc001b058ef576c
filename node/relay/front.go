package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// silence is how long a client may say nothing before its first allocation
	// or bind: it opens connections for data in advance.
	silence = time.Minute
	// controlSilence is the same once it has: a refresh is due every five
	// minutes (RFC 8656 §3.2 has lifetimes of ten).
	controlSilence = 15 * time.Minute
)

// front is the listener that clients connect to. It bounds how many they are,
// gives pion/turn whole messages only, and waits at the end for those whom
// pion/turn would leave alone.
type front struct {
	net.Listener
	tls            *tls.Config // nil: plain TCP only
	perSite, total int
	gone           func(netip.AddrPort)

	ended chan struct{} // closed by end

	mu    sync.Mutex
	over  bool // no one more is let in
	away  uint64
	open  map[*client]bool
	sites map[netip.Prefix]int
	work  sync.WaitGroup
}

func newFront(l net.Listener, secure *tls.Config, perSite, total int, gone func(netip.AddrPort)) *front {
	return &front{
		Listener: l, tls: secure, perSite: perSite, total: total, gone: gone, ended: make(chan struct{}),
		open: make(map[*client]bool), sites: make(map[netip.Prefix]int),
	}
}

// Accept fails only at the end: pion/turn would end all allocations with it.
func (f *front) Accept() (net.Conn, error) {
	for {
		conn, err := acceptFrom(f.Listener, f.ended)
		if err != nil && f.stopped() {
			<-f.ended
		}
		if err != nil {
			return nil, err
		}
		c := &client{Conn: conn, front: f, remote: endpointOf(conn.RemoteAddr())}
		if f.enter(c) {
			_ = conn.SetReadDeadline(time.Now().Add(silence))
			return c, nil
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// acceptFrom is the next connection of a listener. Trouble that passes, such as a
// want of descriptors, is waited for: whoever comes later must be served. The error
// is that of a closed listener, or any once over is closed.
func acceptFrom(l net.Listener, over <-chan struct{}) (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-over:
			t.Stop()
			return nil, err
		}
	}
}

func (f *front) enter(c *client) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := site(c.remote.Addr())
	if f.over || len(f.open) >= f.total || f.sites[at] >= f.perSite {
		f.away++
		return false
	}
	f.open[c] = true
	f.sites[at]++
	f.work.Add(1)
	return true
}

func (f *front) leave(c *client) {
	f.mu.Lock()
	at := site(c.remote.Addr())
	delete(f.open, c)
	if f.sites[at]--; f.sites[at] == 0 {
		delete(f.sites, at)
	}
	f.mu.Unlock()
	f.gone(c.remote)
	f.work.Done()
}

// stop lets no one more in.
func (f *front) stop() {
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	_ = f.Listener.Close()
}

func (f *front) stopped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

func (f *front) counts() (open int, turnedAway uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open), f.away
}

// end ends every client, and waits until pion/turn has let go of each. It is
// called once.
func (f *front) end() {
	close(f.ended)
	f.mu.Lock()
	f.over = true
	for c := range f.open {
		_ = c.Conn.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
}

// client is a connection from a client: messages until it is bound to a peer's
// connection, then data. All of it may be within TLS.
type client struct {
	net.Conn
	front  *front
	remote netip.AddrPort
	begun  atomic.Pointer[net.Conn] // what is spoken on, once the first byte was looked at
	bound  atomic.Bool
	once   sync.Once
}

func (c *client) Read(p []byte) (int, error) {
	if c.bound.Load() {
		return c.stream().Read(p)
	}
	if c.begun.Load() == nil {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	n, err := readFrame(c.stream(), p)
	if err != nil {
		return 0, err
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(controlSilence))
	return n, nil
}

// Write notes when the connection is bound: nothing but data follows.
func (c *client) Write(p []byte) (int, error) {
	if !c.bound.Load() && typeOf(p) == bindSuccess {
		_ = c.Conn.SetReadDeadline(time.Time{})
		c.bound.Store(true)
	}
	return c.stream().Write(p)
}

// stream is what messages and data are read from and written to.
func (c *client) stream() net.Conn {
	if s := c.begun.Load(); s != nil {
		return *s
	}
	return c.Conn
}

// recordHandshake begins a TLS connection (RFC 8446 §5.1), and no message of
// TURN.
const recordHandshake = 0x16

// begin finds out by the first byte whether the client speaks TLS.
func (c *client) begin() error {
	first := make([]byte, 1)
	if _, err := io.ReadFull(c.Conn, first); err != nil {
		return err
	}
	var s net.Conn = &headed{Conn: c.Conn, head: first}
	if first[0] == recordHandshake && c.front.tls != nil {
		t := tls.Server(s, c.front.tls)
		_ = c.Conn.SetDeadline(time.Now().Add(silence))
		if err := t.Handshake(); err != nil {
			return err
		}
		_ = c.Conn.SetWriteDeadline(time.Time{})
		s = t
	}
	c.begun.Store(&s)
	return nil
}

// headed gives a byte back that was read too early.
type headed struct {
	net.Conn
	head []byte
}

func (h *headed) Read(p []byte) (int, error) {
	if len(h.head) == 0 {
		return h.Conn.Read(p)
	}
	n := copy(p, h.head)
	h.head = h.head[n:]
	return n, nil
}

func (c *client) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.front.leave(c) })
	return err
}
