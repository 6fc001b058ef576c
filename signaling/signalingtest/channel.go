package signalingtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

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
