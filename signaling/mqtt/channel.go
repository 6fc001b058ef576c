package mqtt

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// Channel is a signaling.Channel over MQTT brokers.
type Channel struct {
	config Config
	topic  string
	ctx    context.Context
	cancel context.CancelFunc
	queue  *queue
	out    chan signaling.Delivery
	wg     sync.WaitGroup

	received, skipped atomic.Uint64

	mu      sync.Mutex
	closed  bool
	links   map[address.Broker]*link
	order   []*link       // the links, own ones first
	own     int           // how many of order are own ones
	changed chan struct{} // closed and replaced at every change of a link
}

var _ signaling.Channel = (*Channel)(nil)

// Stats are counters since New.
type Stats struct {
	Received uint64 // payloads for us, from all brokers, copies counted
	Skipped  uint64 // publishes that were too large, retained or of another topic
	Dropped  uint64 // deliveries that were never read, displaced by newer ones
}

// New makes a channel and begins to connect to its own brokers. It does not
// wait for them: see Wait.
func New(config Config) (*Channel, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Channel{
		config:  config,
		topic:   config.Topic,
		queue:   newQueue(config.Queue),
		out:     make(chan signaling.Delivery),
		links:   make(map[address.Broker]*link),
		changed: make(chan struct{}),
	}
	if c.topic == "" {
		c.topic = signaling.Topic(config.Key)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range distinct(config.Brokers) {
		if _, err := c.hold(b); err != nil {
			panic(err) // not reached: withDefaults has counted them
		}
	}
	c.own = len(c.order)
	c.wg.Go(c.forward)
	return c, nil
}

// forward moves deliveries from the queue to whoever reads.
func (c *Channel) forward() {
	defer close(c.out)
	for {
		d, ok := c.queue.take()
		if !ok {
			select {
			case <-c.queue.wake:
				continue
			case <-c.ctx.Done():
				return
			}
		}
		select {
		case c.out <- d:
		case <-c.ctx.Done():
			return
		}
	}
}

// Deliveries gives what arrives on our topic.
func (c *Channel) Deliveries() <-chan signaling.Delivery { return c.out }

// Publish hands payload to those of brokers that are open, all at once, and
// returns nil as soon as one connection has taken it; the others go on. That
// is no sign that it arrived. Else the error is ErrClosed, ErrTooLarge, the
// context's, or a *BrokersError.
func (c *Channel) Publish(ctx context.Context, to address.Key, brokers []address.Broker, payload []byte) error {
	return c.publish(ctx, signaling.Topic(to), brokers, payload, false)
}

// Post is Publish on the topic that the channel itself is subscribed to: what
// it posts comes back as a delivery, too. With retain, the broker is asked to
// keep the message for those who subscribe later; whether it does is for them
// to see.
func (c *Channel) Post(ctx context.Context, brokers []address.Broker, payload []byte, retain bool) error {
	return c.publish(ctx, c.topic, brokers, payload, retain)
}

func (c *Channel) publish(ctx context.Context, topic string, brokers []address.Broker, payload []byte, retain bool) error {
	if len(payload) > c.config.MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), c.config.MaxPayload)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	payload = bytes.Clone(payload) // it is written after we return, too
	brokers = distinct(brokers)
	results := make(chan BrokerError, len(brokers))
	failed := &BrokersError{Op: "publish"}
	asked := 0

	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	for _, b := range brokers {
		l := c.links[b]
		if l == nil || !l.isOpen() {
			failed.Brokers = append(failed.Brokers, BrokerError{Broker: b, Err: ErrNotOpen})
			continue
		}
		asked++
		s := l.session
		c.wg.Go(func() { results <- BrokerError{Broker: b, Err: s.publish(ctx, topic, payload, retain)} })
	}
	c.mu.Unlock()

	for range asked {
		select {
		case r := <-results:
			if r.Err == nil {
				return nil
			}
			failed.Brokers = append(failed.Brokers, r)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}

// Open lists the brokers to which a connection is open now, own ones first.
func (c *Channel) Open() []address.Broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	var open []address.Broker
	for _, l := range c.order {
		if l.isOpen() {
			open = append(open, l.broker)
		}
	}
	return open
}

// RTT is the round trip to a broker: on Linux what the kernel measured on the
// connection, elsewhere what dialling took. Of a connection that was lost it
// is the last figure. 0 if unknown.
func (c *Channel) RTT(b address.Broker) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links[canonical(b)]
	if l == nil {
		return 0
	}
	if l.session != nil {
		l.rtt = l.session.rtt()
	}
	return l.rtt
}

// Local is the local end of the connection to b, as its socket has it; the
// zero AddrPort if it is not open.
func (c *Channel) Local(b address.Broker) netip.AddrPort {
	if s := c.session(b); s != nil {
		return s.local
	}
	return netip.AddrPort{}
}

// Remote is the broker's end of the connection to b; the zero AddrPort if it
// is not open.
func (c *Channel) Remote(b address.Broker) netip.AddrPort {
	if s := c.session(b); s != nil {
		return s.remote
	}
	return netip.AddrPort{}
}

func (c *Channel) session(b address.Broker) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.links[canonical(b)]; l != nil && l.isOpen() {
		return l.session
	}
	return nil
}

// Stats gives the counters.
func (c *Channel) Stats() Stats {
	return Stats{Received: c.received.Load(), Skipped: c.skipped.Load(), Dropped: c.queue.drops()}
}

// Close ends every connection and waits for what served them; Deliveries is
// closed by then. It may be called more than once.
func (c *Channel) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.cancel()
		c.queue.close()
		for _, l := range c.order {
			if l.leaving != nil {
				l.leaving.Stop()
			}
		}
		close(c.changed)
		c.changed = make(chan struct{})
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

func (l *link) isOpen() bool { return l.session != nil && l.session.open() }

// canonical makes equal what names the same broker.
func canonical(b address.Broker) address.Broker {
	if b.URL != "" {
		b.Index = 0 // only one of the two counts
	}
	return b
}

// distinct leaves out what was there before.
func distinct(brokers []address.Broker) []address.Broker {
	seen := make(map[address.Broker]bool, len(brokers))
	var out []address.Broker
	for _, b := range brokers {
		if b = canonical(b); !seen[b] {
			seen[b] = true
			out = append(out, b)
		}
	}
	return out
}
