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
	wire
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

// Keep says that this connection is the one that was wanted: what is written to
// it from now on has to arrive.
func (c *Conn) Keep() { c.kept.Store(true) }

func (c *Conn) Write(p []byte) (int, error) {
	if c.kept.Load() {
		c.wrote.Store(true)
	}
	return c.wire.Write(p)
}

// Close ends the connection. The end of an allocation would cut off what the
// relay has not passed on, so a kept connection that was written to is ended in
// order first: it waits for the relay's end, which takes a round trip, and three
// seconds at most.
func (c *Conn) Close() error {
	c.once.Do(func() {
		if c.wrote.Load() && c.CloseWrite() == nil {
			_ = c.SetReadDeadline(time.Now().Add(flushTime))
			_, _ = io.Copy(io.Discard, c.wire)
		}
		c.err = c.wire.Close()
		c.allocation.leave()
	})
	return c.err
}

// binding is a connection to the relay while pion/turn binds it: every read is
// filled, since that takes what came for the whole, and bounded from the first
// byte written.
type binding struct {
	*net.TCPConn
	wire     wire
	bindTime time.Duration
}

func (b *binding) Write(p []byte) (int, error) {
	_ = b.SetDeadline(time.Now().Add(b.bindTime))
	return b.wire.Write(p)
}

func (b *binding) Read(p []byte) (int, error) { return io.ReadFull(b.wire, p) }
