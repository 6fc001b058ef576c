// Package signalingtest is signalling without a network: brokers in memory that
// are slow, lose, repeat and reorder as they are told, by a seeded generator.
// It needs no sockets, so that tests with it may run in a synctest bubble.
package signalingtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// Config says how bad the brokers are. The zero value is perfect.
type Config struct {
	Seed      uint64
	Latency   time.Duration // one way through a broker
	Jitter    time.Duration // at most so much more; reorders where it exceeds the distance of two payloads
	Loss      float64       // share of the payloads that are lost, 0 to 1
	Duplicate float64       // share that comes twice
	Queue     int           // payloads that a channel holds; default 256
}

// Payload is what a broker sees of one.
type Payload struct {
	To     address.Key
	Broker address.Broker
	Bytes  []byte
	At     time.Time
}

// Network is a set of brokers.
type Network struct {
	config Config
	mu     sync.Mutex
	random *rand.Rand
	topics map[topic]map[*Channel]bool
	down   map[address.Broker]bool
	tap    func(Payload)
}

type topic struct {
	broker address.Broker
	key    address.Key
}

// New makes a network.
func New(config Config) *Network {
	if config.Queue <= 0 {
		config.Queue = 256
	}
	return &Network{
		config: config,
		random: rand.New(rand.NewPCG(config.Seed, 0)),
		topics: make(map[topic]map[*Channel]bool),
		down:   make(map[address.Broker]bool),
	}
}

// Tap has f called with every payload that is published, before it is lost or
// delivered. f must not use the network.
func (n *Network) Tap(f func(Payload)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// Down takes a broker away, or brings it back.
func (n *Network) Down(b address.Broker, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[b] = down
}

// Inject publishes a payload as anybody on the broker may. It arrives as any
// other does.
func (n *Network) Inject(b address.Broker, to address.Key, payload []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.publish(b, to, payload)
}

func (n *Network) publish(b address.Broker, to address.Key, payload []byte) {
	payload = slices.Clone(payload)
	if n.tap != nil {
		n.tap(Payload{To: to, Broker: b, Bytes: payload, At: time.Now()})
	}
	copies := 1
	if n.random.Float64() < n.config.Duplicate {
		copies++
	}
	for range copies {
		if n.random.Float64() < n.config.Loss {
			continue
		}
		after := n.config.Latency
		if n.config.Jitter > 0 {
			after += time.Duration(n.random.Int64N(int64(n.config.Jitter)))
		}
		if after == 0 {
			n.arrive(b, to, payload)
			continue
		}
		time.AfterFunc(after, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.arrive(b, to, payload)
		})
	}
}

// arrive is called with the lock held.
func (n *Network) arrive(b address.Broker, to address.Key, payload []byte) {
	if n.down[b] {
		return
	}
	for c := range n.topics[topic{b, to}] {
		c.take(signaling.Delivery{Broker: b, Payload: slices.Clone(payload), At: time.Now()})
	}
}

// Channel is one node's connections to the brokers of a Network.
type Channel struct {
	network *Network
	key     address.Key
	queue   chan signaling.Delivery
	own     []address.Broker
	joined  map[address.Broker]int
	closed  bool
}

var _ signaling.Channel = (*Channel)(nil)

// Channel connects key to own brokers.
func (n *Network) Channel(key address.Key, own ...address.Broker) *Channel {
	c := &Channel{
		network: n,
		key:     key,
		queue:   make(chan signaling.Delivery, n.config.Queue),
		own:     own,
		joined:  make(map[address.Broker]int),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range own {
		c.subscribe(b)
	}
	return c
}

// take queues a delivery; when nobody reads, the oldest goes. The network's
// lock is held, so that nobody else writes.
func (c *Channel) take(d signaling.Delivery) {
	for {
		select {
		case c.queue <- d:
			return
		default:
		}
		select {
		case <-c.queue:
		default:
		}
	}
}

func (c *Channel) subscribe(b address.Broker) {
	t := topic{b, c.key}
	if c.network.topics[t] == nil {
		c.network.topics[t] = make(map[*Channel]bool)
	}
	c.network.topics[t][c] = true
}

// Publish is signaling.Channel's.
func (c *Channel) Publish(ctx context.Context, to address.Key, brokers []address.Broker, payload []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	taken := 0
	for _, b := range brokers {
		if c.connected(b) && !n.down[b] {
			n.publish(b, to, payload)
			taken++
		}
	}
	if taken == 0 {
		return fmt.Errorf("none of %v is open", brokers)
	}
	return nil
}

func (c *Channel) connected(b address.Broker) bool {
	return slices.Contains(c.own, b) || c.joined[b] > 0
}

// Deliveries is signaling.Channel's.
func (c *Channel) Deliveries() <-chan signaling.Delivery { return c.queue }

// Join is signaling.Channel's. A connection takes one round trip.
func (c *Channel) Join(ctx context.Context, brokers []address.Broker) (leave func(), err error) {
	n := c.network
	n.mu.Lock()
	wait := 2 * n.config.Latency
	up := 0
	for _, b := range brokers {
		if c.connected(b) {
			wait = 0
		}
		if !n.down[b] {
			up++
		}
	}
	closed := c.closed
	n.mu.Unlock()
	switch {
	case closed:
		return nil, net.ErrClosed
	case up == 0:
		return nil, errors.New("every broker is down")
	case wait > 0:
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	for _, b := range brokers {
		c.joined[b]++
		c.subscribe(b)
	}
	return sync.OnceFunc(func() { c.leave(brokers) }), nil
}

func (c *Channel) leave(brokers []address.Broker) {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range brokers {
		if c.joined[b]--; c.joined[b] <= 0 {
			delete(c.joined, b)
		}
		if !c.connected(b) {
			c.unsubscribe(b)
		}
	}
}

func (c *Channel) unsubscribe(b address.Broker) {
	t := topic{b, c.key}
	if delete(c.network.topics[t], c); len(c.network.topics[t]) == 0 {
		delete(c.network.topics, t)
	}
}

// Open is signaling.Channel's.
func (c *Channel) Open() []address.Broker {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return nil
	}
	var open []address.Broker
	for _, b := range c.own {
		if !n.down[b] {
			open = append(open, b)
		}
	}
	var joined []address.Broker
	for b := range c.joined {
		if !n.down[b] && !slices.Contains(open, b) {
			joined = append(joined, b)
		}
	}
	slices.SortFunc(joined, func(x, y address.Broker) int { return x.Index - y.Index })
	return append(open, joined...)
}

// RTT is signaling.Channel's: twice the latency, to every broker alike.
func (c *Channel) RTT(address.Broker) time.Duration { return 2 * c.network.config.Latency }

// Close is signaling.Channel's.
func (c *Channel) Close() error {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	for t, channels := range n.topics {
		if channels[c] {
			c.unsubscribe(t.broker)
		}
	}
	close(c.queue)
	return nil
}
