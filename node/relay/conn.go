package relay

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a connection through a relay. Its RemoteAddr is the peer's as the
// relay sees it, its LocalAddr our own, towards the relay.
//
// A relay of pion/turn or coturn knows no half-close: it ends both ways when one
// has ended. TLS has its own, which passes.
type Conn struct {
	*net.TCPConn
	allocation *Allocation
	remote     net.Addr
	kept       atomic.Bool
	wrote      atomic.Bool // since it was kept
	once       sync.Once
	err        error
}

// flushTime is how long Close waits for the relay to pass on what was written.
const flushTime = 3 * time.Second

// RemoteAddr is the peer's address as the relay sees it.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// NetConn is the TCP connection to the relay.
func (c *Conn) NetConn() net.Conn { return c.TCPConn }

// Keep makes the allocation end with this connection, which is the one that was
// wanted: others are accepted no more.
func (c *Conn) Keep() {
	c.allocation.control.settled.Store(true)
	c.kept.Store(true)
}

func (c *Conn) Write(p []byte) (int, error) {
	if c.kept.Load() {
		c.wrote.Store(true)
	}
	return c.TCPConn.Write(p)
}

// ReadFrom copies by Write: that of the TCP connection would go past it.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Close ends the connection. The end of an allocation would cut off what the
// relay has not passed on, so a kept connection that was written to is ended in
// order first: it waits for the relay's end, which takes a round trip, and three
// seconds at most.
func (c *Conn) Close() error {
	c.once.Do(func() {
		if c.wrote.Load() && c.TCPConn.CloseWrite() == nil {
			_ = c.TCPConn.SetReadDeadline(time.Now().Add(flushTime))
			_, _ = io.Copy(io.Discard, c.TCPConn)
		}
		c.err = c.TCPConn.Close()
		if c.kept.Load() {
			_ = c.allocation.Close()
		}
	})
	return c.err
}

// binding is a connection to the relay while pion/turn binds it: every read is
// filled, since that takes what came for the whole, and bounded from the first
// byte written.
type binding struct {
	*net.TCPConn
	bindTime time.Duration
	bound    bool
}

func (b *binding) Write(p []byte) (int, error) {
	_ = b.TCPConn.SetDeadline(time.Now().Add(b.bindTime))
	return b.TCPConn.Write(p)
}

func (b *binding) Read(p []byte) (int, error) { return io.ReadFull(b.TCPConn, p) }
