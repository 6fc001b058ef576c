package signaling

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// What one broker may cost. Opening a payload takes about 0.16 ms where it is
// junk and 0.3 ms where somebody took pains with it: at 200 a second a hostile
// broker takes 6 % of one core at most, and the others keep their share.
const (
	BrokerRate  = 200 // payloads opened per second
	BrokerBurst = 100
	maxBrokers  = 64   // that have a budget; the one unused for longest loses its
	maxHashes   = 4096 // of ciphertexts, 20 s of a flood on one broker
)

// In is a message that came through the Inbox: its sender signed it for us, and
// it is delivered for the first time.
type In struct {
	Message Message
	From    address.Key // who signed it; the key of Message.From as well
	Level   Level
	Broker  address.Broker // that it came by
	At      time.Time      // when it was read from the connection
	heard   int64          // the same by the wall clock, less Delay, in ms since 1970
}

// Inbox is the way in, cheapest station first:
//
//	Screen  size and version → the same bytes seen before → budget of the broker
//	Open    ECDH → signature → form → an answer to a question of ours? →
//	        admission → age, id seen before, budget of the sender
//
// A sender is charged, and an id remembered, only for what the sender has
// signed, which is dated within its ttl and not seen before. So neither junk in
// a sender's name nor a replay can lock the real one out. Answers to our own
// questions skip admission and guard: a question's id is random, was told to
// nobody but the key that was asked, and is forgotten once it is answered.
//
// An Inbox is safe for use by several goroutines.
type Inbox struct {
	config    InboxConfig
	admission atomic.Pointer[Admission]
	counters  counters

	mu      sync.Mutex
	seen    *seal.Seen
	brokers map[address.Broker]*allowance
	open    *Guard
	listed  *Guard
}

// InboxConfig is what an Inbox needs.
type InboxConfig struct {
	Key       address.PrivateKey
	Admission Admission               // default nobody
	Also      func(address.Key) Level // beside Admission; default nobody
	Now       func() time.Time        // the wall clock; default time.Now
	// Asked reports whether from was asked the question, and the answer is
	// still awaited. Default: nothing was asked.
	Asked func(from address.Key, question ID) bool
	// Random gives numbers in [0, 1) for dropping at random. Default:
	// math/rand/v2.
	Random func() float64
}

type allowance struct {
	*rate.Limiter
	used time.Time
}

// NewInbox makes an empty inbox.
func NewInbox(config InboxConfig) *Inbox {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Also == nil {
		config.Also = func(address.Key) Level { return Stranger }
	}
	if config.Asked == nil {
		config.Asked = func(address.Key, ID) bool { return false }
	}
	if config.Random == nil {
		config.Random = rand.Float64
	}
	x := &Inbox{
		config:  config,
		seen:    seal.NewSeen(maxHashes),
		brokers: make(map[address.Broker]*allowance),
		open:    NewGuard(openLimits),
		listed:  NewGuard(listedLimits),
	}
	x.Admit(config.Admission)
	return x
}

// Admit changes who is admitted, from the next message on.
func (x *Inbox) Admit(a Admission) { x.admission.Store(&a) }

// Stats gives the counts so far.
func (x *Inbox) Stats() Stats { return x.counters.snapshot() }

// Screen runs the stations that cost microseconds, and reports whether d is
// worth opening. Whoever reads a Channel must never be slower than this.
func (x *Inbox) Screen(d Delivery) bool {
	x.counters.received.Add(1)
	if !seal.Plausible(d.Payload) {
		x.counters.malformed.Add(1)
		return false
	}
	hash := seal.HashOf(d.Payload)
	now := x.config.Now()

	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen.Has(hash) {
		x.counters.repeated.Add(1)
		return false
	}
	if !x.affords(now, d.Broker) {
		x.counters.overBudget.Add(1)
		return false
	}
	// Remembered only now: a copy that was dropped for the sake of a broker's
	// budget must still get in by another broker.
	x.seen.Add(hash)
	return true
}

// affords takes one payload from the budget of b. Below half of the burst
// payloads are let in at random, so that a flood cannot keep others out by
// being quicker to each new token.
func (x *Inbox) affords(now time.Time, b address.Broker) bool {
	a := x.brokers[b]
	if a == nil {
		x.forgetBroker()
		a = &allowance{Limiter: rate.NewLimiter(BrokerRate, BrokerBurst)}
		x.brokers[b] = a
	}
	a.used = now
	if left := a.TokensAt(now); left < BrokerBurst/2 && x.config.Random() >= left/(BrokerBurst/2) {
		return false
	}
	return a.AllowN(now, 1)
}

func (x *Inbox) forgetBroker() {
	if len(x.brokers) < maxBrokers {
		return
	}
	var oldest address.Broker
	var at time.Time
	for b, a := range x.brokers {
		if at.IsZero() || a.used.Before(at) {
			oldest, at = b, a.used
		}
	}
	delete(x.brokers, oldest)
}

// Open runs the stations that cost real work on what Screen let pass. In is
// meaningful for every verdict but Drop.
func (x *Inbox) Open(d Delivery) (In, Verdict) {
	drop := func(count *atomic.Uint64) (In, Verdict) {
		count.Add(1)
		return In{}, Drop
	}
	c := &x.counters
	from, body, err := seal.Open(x.config.Key, d.Payload)
	switch {
	case errors.Is(err, seal.ErrSignature):
		return drop(&c.forged)
	case err != nil:
		return drop(&c.unsealed)
	}
	m, err := Decode(body)
	if err != nil {
		return drop(&c.invalid)
	}
	if m.From.Key != from || from == x.config.Key.Public() {
		return drop(&c.misnamed)
	}

	now := x.config.Now()
	in := In{Message: m, From: from, Broker: d.Broker, At: d.At, heard: heard(now, d.At, m.Delay)}
	in.Level = max(x.admission.Load().Level(from), x.config.Also(from))
	if !m.Answers.IsZero() {
		if !x.config.Asked(from, m.Answers) {
			return drop(&c.unasked)
		}
		c.answers.Add(1)
		return in, Answered
	}
	if in.Level == Stranger {
		return drop(&c.stranger)
	}
	verdict := x.judge(now, in)
	switch verdict {
	case Late:
		c.late.Add(1)
	case Busy:
		c.busy.Add(1)
	case Duplicate:
		c.duplicate.Add(1)
	case Fresh:
		c.delivered.Add(1)
	}
	return in, verdict
}

// judge asks the guard of the sender's level. Each level has its own, so that
// no number of fresh keys can push out the ids of those who are listed.
func (x *Inbox) judge(now time.Time, in In) Verdict {
	x.mu.Lock()
	defer x.mu.Unlock()
	mine, other := x.open, x.listed
	if in.Level == Listed {
		mine, other = other, mine
	}
	if other.Has(in.From, in.Message.ID) { // it was listed, or unlisted, since
		return Duplicate
	}
	return mine.Take(now, in.From, in.Message)
}

// heard is when the question would have arrived had its first copy been this
// one, by the wall clock that shows now. at is by the system's clock, of which
// only the time passed since then is used.
func heard(now, at time.Time, delay int64) int64 {
	ms := now.UnixMilli() - delay
	if !at.IsZero() {
		ms -= max(0, time.Since(at).Milliseconds())
	}
	return max(1, ms)
}
