// Package mqtt is a signaling.Channel over several MQTT brokers at once.
//
// Each broker has a supervisor that keeps one connection open: it tries the
// broker's endpoints staggered, the first that is subscribed wins, and after a
// loss it goes on with a growing, jittered pause. A connection is a paho
// client used once: its own reconnecting is off, since it has no context and
// may not be restarted, and what a broker sends it is checked first (see
// inbound), since it believes everything.
//
// From the outside in, a connection is
//
//	paho client        MQTT 3.1.1, clean session, random client id, QoS 0
//	stream             checks packets that come in, keeps whole those that go out
//	wsstream, tls.Conn where the scheme asks for them
//	wire               deadlines, SO_LINGER, first cause of an end
//	Config.Dial        the node's dialer, which shares its port
package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// MaxPayload is the largest payload in bytes, both ways, unless Config says
// otherwise: with its topic it fits a packet of 16 KiB.
const MaxPayload = 16<<10 - 128

const (
	maxEndpoints = 8  // of one broker
	maxBrokers   = 64 // own and joined ones together
	maxTopic     = 128
)

// Config says who listens, on which brokers. Key and Brokers are needed (a
// Channel without brokers of its own can still Join).
type Config struct {
	Key     address.Key      // whose topic is subscribed
	Brokers []address.Broker // own brokers, best first, at most 64

	// Topic is subscribed in place of that of Key, which may be zero then.
	// Post publishes on it.
	Topic string
	// Retained hands on retained messages as well. On a signalling topic
	// anybody could leave one for ever.
	Retained bool

	// Sign signs a hash as the PrivateKey of Key does, for brokers that let
	// only a topic's owner listen. Default: such brokers can't be used.
	Sign func(hash [32]byte) []byte

	// Endpoints gives the URLs of a broker in order of preference; at most 8
	// are tried. The schemes are tcp or mqtt (port 1883), tls, ssl or mqtts
	// (8883), ws (80) and wss (443), the path of the last two /mqtt where
	// there is none. It is called before each attempt and must not block.
	// Default: the URL of a broker that has one.
	Endpoints func(address.Broker) ([]string, error)

	// Dial opens every connection; network is "tcp". It must return soon
	// after ctx is done. Default: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// TLS is for tls and wss. Default: system roots. Where it has no
	// ServerName, it is the host of the URL.
	TLS *tls.Config

	KeepAlive      time.Duration // a ping after this much silence, whole seconds; default 30 s, 1 s to 18 h
	PingTimeout    time.Duration // a connection is dead after KeepAlive + this of silence; default 10 s, at least 7.5 s, or 3/8 of a KeepAlive up to 10 s
	ConnectTimeout time.Duration // for one endpoint, from dialling to the SUBACK; default 15 s
	WriteTimeout   time.Duration // for one write to a connection; default 10 s
	Stagger        time.Duration // between the starts of two endpoints of a broker; default 300 ms
	MinBackoff     time.Duration // pause before the first try again, jittered; default 250 ms
	MaxBackoff     time.Duration // and the longest it grows to; default 1 min
	Linger         time.Duration // how long a joined broker is kept after the last leave; default 5 s, less than 0 is none

	MaxPayload int // bytes; more is refused, and dropped when it comes in; default MaxPayload
	Queue      int // deliveries waiting to be read, per broker; default 128

	// OnState is told when a connection opens, is lost, or can't be had. It
	// is called by the broker's supervisor: it must return soon, and must not
	// call Close.
	OnState func(address.Broker, State)

	Logger *slog.Logger // default silent

	goodbye time.Duration // 0 means the constant of that name
}

// State is what became of the connection to a broker.
type State struct {
	Open     bool
	Endpoint string // the URL, without credentials; "" where none could be had
	Err      error  // why it was lost, or could not be had; nil when Open
}

func (c Config) withDefaults() (Config, error) {
	if c.Topic == "" && c.Key.IsZero() {
		return c, errors.New("a channel needs a key or a topic")
	}
	if len(c.Topic) > maxTopic || strings.ContainsAny(c.Topic, "+#\x00") {
		return c, fmt.Errorf("topic %.40q: want at most %d bytes without wildcards", c.Topic, maxTopic)
	}
	if len(c.Brokers) > maxBrokers {
		return c, fmt.Errorf("a channel has at most %d brokers, not %d", maxBrokers, len(c.Brokers))
	}
	if c.Endpoints == nil {
		c.Endpoints = literalEndpoint
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnState == nil {
		c.OnState = func(address.Broker, State) {}
	}
	for _, d := range []struct {
		p *time.Duration
		v time.Duration
	}{
		{&c.KeepAlive, 30 * time.Second},
		{&c.PingTimeout, 10 * time.Second},
		{&c.ConnectTimeout, 15 * time.Second},
		{&c.WriteTimeout, 10 * time.Second},
		{&c.Stagger, 300 * time.Millisecond},
		{&c.MinBackoff, 250 * time.Millisecond},
		{&c.MaxBackoff, time.Minute},
	} {
		if *d.p <= 0 {
			*d.p = d.v
		}
	}
	// MQTT has 16 bits of seconds for it.
	c.KeepAlive = min((c.KeepAlive + time.Second - 1).Truncate(time.Second), 65535*time.Second)
	// paho looks only this often whether to ping; what it needs on top of
	// KeepAlive must not pass for silence.
	look := c.KeepAlive / 4
	if c.KeepAlive > 10*time.Second {
		look = 5 * time.Second
	}
	c.PingTimeout = max(c.PingTimeout, look*3/2)
	c.MaxBackoff = max(c.MaxBackoff, c.MinBackoff)
	if c.Linger == 0 {
		c.Linger = 5 * time.Second
	}
	if c.MaxPayload <= 0 {
		c.MaxPayload = MaxPayload
	}
	if c.goodbye == 0 {
		c.goodbye = goodbye
	}
	if c.Queue <= 0 {
		c.Queue = 128
	}
	return c, nil
}
