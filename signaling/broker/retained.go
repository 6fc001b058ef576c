package broker

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/time/rate"
)

const (
	// namePrefix is how the topics begin on which messages may be retained. No
	// node id has a hyphen in it.
	namePrefix = topicPrefix + "name-"
	codePrefix = topicPrefix + "code-"
	// MaxRetained is the largest retained message in bytes.
	MaxRetained = 1 << 10
	// RetainedFor is how long a message is kept that is not published again.
	RetainedFor = 7 * 24 * time.Hour

	retainedTopics = 10_000
	retainedPer4   = 20 // topics of one IPv4 address
	retainedPer6   = 5  // and of one IPv6 /64
	// Of all clients together: each may cost the check of a signature and of a
	// slow hash.
	retainRate, retainBurst = 10, 100
	// And of one address, so that it does not use up what others need. Its names
	// are refreshed every few days.
	retainRateEach, retainBurstEach = 1, 40
	maxOrigins                      = 4096 // whose rates are remembered
)

// retained bounds what is kept. A topic counts for the address from which its
// first message came.
type retained struct {
	check   func(topic string, old, new []byte) error // nil: nothing is kept
	limiter *rate.Limiter
	now     func() time.Time

	mu     sync.Mutex
	topics map[string]keptTopic
	per    map[netip.Prefix]int
	rates  map[netip.Prefix]*rate.Limiter
	swept  time.Time
}

type keptTopic struct {
	from netip.Prefix
	at   time.Time
}

func newRetained(c Config) *retained {
	return &retained{
		check: c.Retain, limiter: rate.NewLimiter(retainRate, retainBurst), now: c.Now,
		topics: make(map[string]keptTopic), per: make(map[netip.Prefix]int), rates: make(map[netip.Prefix]*rate.Limiter),
	}
}

// admit reports whether pk may take its topic's place, and counts it.
func (r *retained) admit(server *mochi.Server, from netip.Prefix, pk packets.Packet) bool {
	if r.check == nil || !strings.HasPrefix(pk.TopicName, namePrefix) ||
		len(pk.Payload) == 0 || len(pk.Payload) > MaxRetained {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.rateOf(from).Allow() || !r.limiter.Allow() {
		return false
	}
	now := r.now()
	r.sweep(server, now)
	kept, again := r.topics[pk.TopicName]
	if !again {
		limit := retainedPer4
		if from.Addr().Is6() {
			limit = retainedPer6
		}
		if len(r.topics) >= retainedTopics || r.per[from] >= limit {
			return false
		}
		kept.from = from
	}
	var old []byte
	if p, ok := server.Topics.Retained.Get(pk.TopicName); ok {
		old = p.Payload
	}
	if err := r.check(pk.TopicName, old, pk.Payload); err != nil {
		return false
	}
	if !again {
		r.per[from]++
	}
	kept.at = now
	r.topics[pk.TopicName] = kept
	return true
}

// rateOf is what one address may spend.
func (r *retained) rateOf(from netip.Prefix) *rate.Limiter {
	l := r.rates[from]
	if l == nil {
		if len(r.rates) >= maxOrigins {
			clear(r.rates) // rather generous than unbounded
		}
		l = rate.NewLimiter(retainRateEach, retainBurstEach)
		r.rates[from] = l
	}
	return l
}

// sweep forgets, once a minute, what was not published again for too long.
func (r *retained) sweep(server *mochi.Server, now time.Time) {
	if now.Sub(r.swept) < time.Minute {
		return
	}
	r.swept = now
	for topic, kept := range r.topics {
		if now.Sub(kept.at) < RetainedFor {
			continue
		}
		server.Topics.RetainMessage(packets.Packet{TopicName: topic, FixedHeader: packets.FixedHeader{Retain: true}})
		delete(r.topics, topic)
		if r.per[kept.from]--; r.per[kept.from] <= 0 {
			delete(r.per, kept.from)
		}
	}
}
