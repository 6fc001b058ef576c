package broker

import (
	"net"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"golang.org/x/time/rate"
)

// packetsPerPublish is how many packets of any kind a client may send for each
// message that it may publish, before it is disconnected.
const packetsPerPublish = 5

// conn is what mochi reads from and writes to: plain TCP, TLS or WebSocket,
// with what we know of one client.
type conn struct {
	net.Conn
	tcp          *guarded
	writeTimeout time.Duration
	publishes    *rate.Limiter
	packets      *rate.Limiter
	client       *mochi.Client // nil before its CONNECT was accepted
	owner        owner
}

func (b *Broker) newConn(c net.Conn, tcp *guarded) *conn {
	return &conn{
		Conn:         c,
		tcp:          tcp,
		writeTimeout: b.config.WriteTimeout,
		publishes:    rate.NewLimiter(rate.Limit(b.config.PublishRate), b.config.PublishBurst),
		packets: rate.NewLimiter(rate.Limit(packetsPerPublish*b.config.PublishRate),
			packetsPerPublish*b.config.PublishBurst),
	}
}

// SetDeadline is called by mochi whenever a packet comes in. It is applied to
// reads alone: otherwise a client that sends but never reads would hold its
// writer for as long as it likes.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Write gives up after the write timeout. After any error the connection is
// closed, since mochi would go on in the middle of a packet.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(c.owner.greet(p))
	if err != nil {
		_ = c.Close()
	}
	return min(n, len(p)), err
}

// Close closes the TCP connection, without ceremony: a TLS alert could block.
func (c *conn) Close() error { return c.tcp.Close() }

// establish runs one client to its end.
func (b *Broker) establish(c *conn) {
	defer func() { _ = c.Close() }()
	// The packets come from strangers and the parser is not ours: what breaks
	// it must not end the broker. (mochi 2.7.9 panics on a cut-off SUBSCRIBE
	// of MQTT 5, which is why it never gets to see one.)
	defer func() {
		if r := recover(); r != nil {
			b.panics.Add(1)
			b.log.Error("a client broke its handler", "remote", c.RemoteAddr(), "panic", r)
			if c.client != nil {
				b.server.UnsubscribeClient(c.client)
				b.server.Clients.Delete(c.client.ID)
			}
		}
	}()
	err := b.server.EstablishConnection("", c)
	b.log.Debug("client gone", "remote", c.RemoteAddr(), "error", err)
}
