// Package signalingtest is signalling without a network: brokers in memory that
// are slow, lose, repeat and reorder as they are told, by a seeded generator.
// It needs no sockets, so that tests with it may run in a synctest bubble.
package signalingtest

import (
	"math/rand/v2"
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
