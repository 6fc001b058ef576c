// Package broker is an MQTT 3.1.1 broker for signals and nothing else: small
// messages on the topics sallyport/1/<node-id>, no memory of anything once it
// is delivered (names apart, see Config.Retain), and a cap on everything that a
// stranger can ask for. It is
// mochi-mqtt with our rules; mochi's own listeners and event loop are not
// used, so that every connection is counted, timed and waited for here.
//
// What a client may do: connect with a clean session and without a will,
// publish on sallyport/1/<one level>, at QoS 0 or 1 (what is published at QoS 1
// is acknowledged, and delivered at QoS 0), and subscribe to the topic of the
// key that it has proven to own (see package proof), and to those of names and
// codes. What it may not: MQTT 5 and 3.1, wildcards, shared subscriptions, $SYS,
// retained messages but those that Config.Retain takes. The client id is
// ignored, so nobody can evict anybody by it.
//
// Only cmd and tests import this package.
package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/time/rate"
)

// Config says where a Broker listens and what it allows. At least one of the
// four listening addresses must be set.
type Config struct {
	Listen    string // plain TCP, "host:port"
	ListenTLS string // TLS, needs TLS
	ListenWS  string // WebSocket, any path
	ListenWSS string // WebSocket over TLS, any path, needs TLS

	TLS *tls.Config // certificate of ListenTLS and ListenWSS

	// Anyone lets everybody subscribe to every signalling topic, as other
	// brokers do, without asking for a proof.
	Anyone bool
	// Names reports whether host is a name of this broker, by which clients
	// may have dialled it. The address at which a connection came in always is,
	// and on loopback "localhost". It is called by many at a time.
	Names func(host string) bool
	// Open opens the listeners. Default: net.Listen.
	Open func(network, address string) (net.Listener, error)

	MaxClients       int           // connections at once, in any state; default 1000
	MaxPerIP         int           // of them from one IPv4 address or one IPv6 /64; default 64
	MaxPacket        int           // bytes of one MQTT packet without its first byte; default 16384
	MaxSubscriptions int           // per client; default 8
	PublishRate      float64       // messages a second and client, more are dropped; default 20
	PublishBurst     int           // messages at once and client; default 60
	Queue            int           // messages waiting for one slow reader, more are dropped; default 64
	ConnectTimeout   time.Duration // from accept to a complete CONNECT; default 10 s
	WriteTimeout     time.Duration // for one write to a client; default 10 s
	MaxKeepAlive     time.Duration // a client that asks for more, or for none, gets this; default 5 min, at most 10 h

	// Retain is asked whether a message may be kept on a topic
	// sallyport/1/name-…, in place of old, nil if there is none. It is not
	// called for more than MaxRetained bytes, nor from two goroutines at once.
	// Default: nothing is kept.
	Retain func(topic string, old, new []byte) error
	Now    func() time.Time // the clock of what is kept; default time.Now

	Logger *slog.Logger // default silent
}

// Stats are three figures of now, and counters since Start.
type Stats struct {
	Connections   int    // open now
	Clients       int    // of them, past their CONNECT
	Subscriptions int    // of all clients now
	TurnedAway    uint64 // connections over a cap, closed at once
	Received      uint64 // messages published to the broker
	Sent          uint64 // messages written to subscribers
	Limited       uint64 // publishes above a client's rate, dropped
	Refused       uint64 // publishes against the rules (topic, retain), dropped
	Slow          uint64 // messages that a subscriber was too slow for, dropped
	Proven        uint64 // connections whose key was proven
	Unproven      uint64 // proofs that were refused, and subscriptions without one
	Panics        uint64 // connections whose handling panicked; a bug, if not 0
}

// Broker is a running broker.
type Broker struct {
	config Config
	log    *slog.Logger
	server *mochi.Server
	gate   *gate
	kept   *retained
	https  []*http.Server
	urls   []string
	addrs  []net.Addr

	limited, refused, panics atomic.Uint64
	proven, unproven         atomic.Uint64
	misnamed                 rate.Sometimes

	wg        sync.WaitGroup
	closeOnce sync.Once
}

func (c Config) withDefaults() (Config, error) {
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	setDuration := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt(&c.MaxClients, 1000)
	setInt(&c.MaxPerIP, 64)
	setInt(&c.MaxPacket, 16<<10)
	setInt(&c.MaxSubscriptions, 8)
	setInt(&c.PublishBurst, 60)
	setInt(&c.Queue, 64)
	setDuration(&c.ConnectTimeout, 10*time.Second)
	setDuration(&c.WriteTimeout, 10*time.Second)
	setDuration(&c.MaxKeepAlive, 5*time.Minute)
	// mochi adds half the keepalive to it in 16 bits of seconds: from 43691 s
	// the sum wraps around to almost nothing.
	c.MaxKeepAlive = min(max(c.MaxKeepAlive, time.Second), 10*time.Hour)
	if c.PublishRate <= 0 {
		c.PublishRate = 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Names == nil {
		c.Names = func(string) bool { return false }
	}
	if c.Open == nil {
		c.Open = net.Listen
	}
	if c.Listen == "" && c.ListenTLS == "" && c.ListenWS == "" && c.ListenWSS == "" {
		return c, errors.New("a broker needs an address to listen on")
	}
	if (c.ListenTLS != "" || c.ListenWSS != "") && c.TLS == nil {
		return c, errors.New("a broker that listens for TLS needs a certificate")
	}
	return c, nil
}

// Start listens on every address of config and serves until Close. If one of
// them can't be had, none is kept.
func Start(config Config) (*Broker, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		config: config,
		log:    config.Logger,
		gate:   newGate(config.MaxClients, config.MaxPerIP),
		kept:   newRetained(config),

		misnamed: rate.Sometimes{Interval: time.Minute},
	}
	b.server = mochi.New(&mochi.Options{
		Capabilities: &mochi.Capabilities{
			MaximumClients:             int64(config.MaxClients),
			MaximumClientWritesPending: int32(config.Queue),
			MaximumPacketSize:          uint32(config.MaxPacket),
			MaximumInflight:            16,
			ReceiveMaximum:             16,
			MinimumProtocolVersion:     protocolVersion,
			MaximumQos:                 1,
			RetainAvailable:            1, // rules.OnPublish has the last word
		},
		ClientNetReadBufferSize:  1024,
		ClientNetWriteBufferSize: 1024,
		Logger:                   slog.New(slog.DiscardHandler), // mochi's default writes to standard output
	})
	if err := b.server.AddHook(&rules{broker: b}, nil); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		scheme, addr string
		serve        func(net.Listener)
	}{
		{"tcp", config.Listen, b.servePlain},
		{"tls", config.ListenTLS, b.serveTLS},
		{"ws", config.ListenWS, b.serveWS},
		{"wss", config.ListenWSS, b.serveWSS},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := config.Open("tcp", l.addr)
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("listen on %q: %w", l.addr, err)
		}
		b.addrs = append(b.addrs, ln.Addr())
		b.urls = append(b.urls, l.scheme+"://"+ln.Addr().String())
		l.serve(b.gate.guard(ln, config.ConnectTimeout))
	}
	return b, nil
}

// Addr is the address of the first listener, in the order tcp, tls, ws, wss.
func (b *Broker) Addr() net.Addr { return b.addrs[0] }

// URL is the first of URLs.
func (b *Broker) URL() string { return b.urls[0] }

// URLs gives one URL per listener, in the order tcp, tls, ws, wss, with the
// IP address listened on as its host.
func (b *Broker) URLs() []string { return append([]string(nil), b.urls...) }

// Clients is how many clients are connected now.
func (b *Broker) Clients() int { return int(atomic.LoadInt64(&b.server.Info.ClientsConnected)) }

// Stats gives the counters.
func (b *Broker) Stats() Stats {
	info := b.server.Info
	open, turnedAway := b.gate.counts()
	return Stats{
		Connections:   open,
		Clients:       b.Clients(),
		Subscriptions: int(atomic.LoadInt64(&info.Subscriptions)),
		TurnedAway:    turnedAway,
		Received:      uint64(atomic.LoadInt64(&info.MessagesReceived)),
		Sent:          uint64(atomic.LoadInt64(&info.MessagesSent)),
		Limited:       b.limited.Load(),
		Refused:       b.refused.Load(),
		Slow:          uint64(atomic.LoadInt64(&info.MessagesDropped)),
		Proven:        b.proven.Load(),
		Unproven:      b.unproven.Load(),
		Panics:        b.panics.Load(),
	}
}

// Stop closes the listeners. The connections that stand go on until Close.
func (b *Broker) Stop() { b.gate.stop() }

// Close tells every client that the broker goes, ends every listener and
// connection and waits for what served them: a second and a little at the
// longest. It may be called more than once.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.gate.stop()
		b.dismiss()
		b.gate.close()
		for _, s := range b.https {
			_ = s.Close()
		}
		b.wg.Wait()
		_ = b.server.Close() // it has no listeners and no loop: only its hook is left to stop
	})
	return nil
}

// goodbye bounds what is written to clients at the end.
const goodbye = time.Second

// dismiss sends every client, after what waits for it, a DISCONNECT. MQTT 3.1.1
// has none from a server, but nothing comes after it any more, and our nodes
// take it for what it is.
func (b *Broker) dismiss() {
	b.gate.hurry(time.Now().Add(goodbye))
	var wg sync.WaitGroup
	for _, cl := range b.server.Clients.GetAll() {
		wg.Go(func() { _ = cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}}) })
	}
	wg.Wait()
}
