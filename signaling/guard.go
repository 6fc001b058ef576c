package signaling

import (
	"container/list"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport-net/sallyport/address"
)

// MaxClockError is how far the clock of an honest sender may be from ours,
// either way.
const MaxClockError = 10 * time.Minute

// hold is how long an id is remembered. A message that is dated ten minutes
// ahead of us stays acceptable until its ttl is over and we are ten minutes
// behind it; the longest ttl is taken for all, so that ids are forgotten in the
// order in which they came.
const hold = 2*MaxClockError + MaxTTL*time.Millisecond

// Verdict is what becomes of a message.
type Verdict uint8

const (
	Drop      Verdict = iota // nothing, and nobody is told
	Fresh                    // it is delivered
	Duplicate                // it was seen; its answer may be repeated
	Late                     // it is too old, or from too far ahead: REFUSE(clock)
	Busy                     // a budget is used up: REFUSE(busy)
	Answered                 // it answers a question of ours
)

var verdicts = [...]string{"drop", "fresh", "duplicate", "late", "busy", "answered"}

// String gives the name in lower case.
func (v Verdict) String() string {
	if int(v) < len(verdicts) {
		return verdicts[v]
	}
	return fmt.Sprintf("signaling.Verdict(%d)", uint8(v))
}

// Guard lets every message through once. It remembers the ids of Limits.IDs
// messages, each for 21 minutes, in about 250 bytes each; it is a value of its
// own, without clock or lock.
//
// A sender that has more than Limits.PerSender ids remembered loses its oldest,
// and from then on whatever it dates as early as that one is Late: its own
// watermark rises. Where the whole is full, a sender that holds more than the
// average pays with its own oldest; only if the new one does not, the oldest of
// all is forgotten, and the watermark of all rises. The rates are chosen so
// that this does not happen to senders who are admitted as everyone is:
// IDs > TotalBurst + TotalRate × 21 min.
type Guard struct {
	limits    Limits
	senders   map[address.Key]*ledger
	order     *list.List // of *entry, by time of arrival
	watermark int64
	total     *rate.Limiter
}

// Limits are the bounds of a Guard.
type Limits struct {
	IDs        int     // remembered in all
	PerSender  int     // remembered of one sender
	Rate       float64 // messages of one sender per second, in the long run
	Burst      int     // messages of one sender at once
	TotalRate  float64 // of all senders; 0 is no limit
	TotalBurst int
}

// What the Inbox keeps: 25 × 1260 + 1000 = 32500 ids of open senders at most.
var (
	openLimits   = Limits{IDs: 32_768, PerSender: 256, Rate: 5, Burst: 40, TotalRate: 25, TotalBurst: 1000}
	listedLimits = Limits{IDs: 32_768, PerSender: 1024, Rate: 20, Burst: 200}
)

// ledger is what is known of one sender. It lives as long as one of its ids is
// remembered, by which time its bucket is full again.
type ledger struct {
	held      []*entry // by time of arrival
	watermark int64
	bucket    *rate.Limiter
}

type entry struct {
	sender address.Key
	id     ID
	sent   int64
	at     time.Time
	place  *list.Element
}

// NewGuard makes an empty guard.
func NewGuard(limits Limits) *Guard {
	g := &Guard{limits: limits, senders: make(map[address.Key]*ledger), order: list.New()}
	if limits.TotalRate > 0 {
		g.total = rate.NewLimiter(rate.Limit(limits.TotalRate), limits.TotalBurst)
	}
	return g
}

// Len is the number of ids that are remembered.
func (g *Guard) Len() int { return g.order.Len() }

// Take judges a message that sender has signed, and if it is Fresh, charges the
// sender and remembers the id. now is the wall clock by which sent is judged.
// It gives Fresh, Duplicate, Late or Busy.
func (g *Guard) Take(now time.Time, sender address.Key, m Message) Verdict {
	g.expire(now)
	if !current(now, m) {
		return Late
	}
	l := g.senders[sender]
	if l != nil && l.has(m.ID) {
		return Duplicate
	}
	if m.Sent <= g.watermark || l != nil && m.Sent <= l.watermark {
		return Late
	}
	known := l != nil
	if !known {
		l = &ledger{bucket: rate.NewLimiter(rate.Limit(g.limits.Rate), g.limits.Burst)}
	}
	// A message that is turned away here leaves no trace: it may come again.
	if !l.bucket.AllowN(now, 1) || g.total != nil && !g.total.AllowN(now, 1) {
		return Busy
	}
	if !known {
		g.senders[sender] = l
	}
	g.makeRoom(l)
	e := &entry{sender: sender, id: m.ID, sent: m.Sent, at: now}
	e.place = g.order.PushBack(e)
	l.held = append(l.held, e)
	return Fresh
}

// Has reports whether the id of a message of sender is remembered.
func (g *Guard) Has(sender address.Key, id ID) bool {
	l := g.senders[sender]
	return l != nil && l.has(id)
}

// current reports whether m may have been sent within its ttl by a clock that
// is wrong by no more than MaxClockError.
func current(now time.Time, m Message) bool {
	t, slack := now.UnixMilli(), MaxClockError.Milliseconds()
	return m.Sent <= t+slack && m.Sent+m.TTL >= t-slack
}

// makeRoom forgets one id where there is no room for another one of l.
func (g *Guard) makeRoom(l *ledger) {
	full := g.order.Len() >= g.limits.IDs
	greedy := full && len(l.held)*len(g.senders) > g.limits.IDs
	switch {
	case len(l.held) >= g.limits.PerSender || greedy:
		e := l.held[0]
		l.watermark = max(l.watermark, e.sent)
		g.forget(e, l)
	case full:
		e := g.order.Front().Value.(*entry)
		other := g.senders[e.sender]
		g.forget(e, other)
		g.watermark = max(g.watermark, e.sent)
		if len(other.held) == 0 && other != l { // its own watermark goes with it
			g.watermark = max(g.watermark, other.watermark)
			delete(g.senders, e.sender)
		}
	}
}

func (g *Guard) expire(now time.Time) {
	for front := g.order.Front(); front != nil; front = g.order.Front() {
		e := front.Value.(*entry)
		if now.Sub(e.at) < hold {
			return
		}
		l := g.senders[e.sender]
		g.forget(e, l)
		// What a sender's watermark was raised for arrived earlier than this,
		// its last one: it would be too old by now.
		if len(l.held) == 0 {
			delete(g.senders, e.sender)
		}
	}
}

// forget removes e, which is the oldest of its sender.
func (g *Guard) forget(e *entry, l *ledger) {
	g.order.Remove(e.place)
	l.held[0] = nil
	l.held = l.held[1:]
}

func (l *ledger) has(id ID) bool {
	for _, e := range l.held {
		if e.id == id {
			return true
		}
	}
	return false
}
