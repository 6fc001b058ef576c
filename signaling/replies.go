package signaling

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Reply sends m as the answer to in, once. It fills in ID, Answers, Attempt,
// Sent, TTL, From and Heard, and goes to the broker that in came by and to all
// others of the sender's to which we are connected; no connection is opened.
// Should the sender repeat its question, the same answer is sent again, for two
// minutes; of several answers to one question the last counts. The error is
// that of the first sending, which a retransmission may yet make up for.
func (x *Exchange) Reply(ctx context.Context, in In, m Message) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.work.Done()
	ctx, cancel := x.within(ctx)
	defer cancel()
	x.address(&m, in)
	if err := m.Validate(); err != nil {
		return err
	}
	x.replies.put(question{in.From, in.Message.ID}, m)
	if err := x.transmit(ctx, in.From, x.wayBack(in), m); err != nil {
		if context.Cause(ctx) == ErrClosed {
			return ErrClosed
		}
		return err
	}
	return nil
}

// Refuse is Reply with a REFUSE. detail is for people: printable, at most 200
// bytes, or empty.
func (x *Exchange) Refuse(ctx context.Context, in In, reason Reason, detail string) error {
	return x.Reply(ctx, in, Message{Kind: KindRefuse, Refuse: &Refuse{Reason: reason, Detail: detail}})
}

// address makes m an answer to in.
func (x *Exchange) address(m *Message, in In) {
	m.Answers, m.Heard = in.Message.ID, in.heard
	if !in.Message.Attempt.IsZero() {
		m.Attempt = in.Message.Attempt
	}
	m.ID = ID{} // an answer is never a copy of something else
	x.stamp(m, MaxTTL)
}

// answer sends m as our answer to in, and remembers it for retransmissions.
func (x *Exchange) answer(in In, m Message) {
	x.address(&m, in)
	x.replies.put(question{in.From, in.Message.ID}, m)
	x.post(in, m)
}

// decline refuses what the guard turned away, where courtesy allows.
func (x *Exchange) decline(in In, reason Reason) {
	if !x.courtesy.AllowN(x.config.Now(), 1) {
		return
	}
	m := Message{Kind: KindRefuse, Refuse: &Refuse{Reason: reason}}
	x.address(&m, in)
	x.post(in, m)
}

// wayBack lists the brokers for an answer: that of the question first, then
// those of the sender that are open here.
func (x *Exchange) wayBack(in In) []address.Broker {
	way := []address.Broker{in.Broker}
	for _, b := range x.config.Channel.Open() {
		for _, theirs := range in.Message.From.Brokers {
			if b == theirs && b != in.Broker {
				way = append(way, b)
				break
			}
		}
	}
	return way
}

// Bounds of the answers that are kept for retransmissions.
const (
	replyLife    = 2 * time.Minute
	maxReplies   = 1024
	senderShare  = 32 // answers kept for one sender
	maxResending = 16 // of one answer
)

// replies remembers what was answered, since an answer can get lost: a question
// that comes again gets the same answer again.
type replies struct {
	mu    sync.Mutex
	given map[question]*reply
	order []question // by the time of the first answer, oldest first
	count map[address.Key]int
}

type reply struct {
	m     Message
	times int
}

func newReplies() *replies {
	return &replies{given: make(map[question]*reply), count: make(map[address.Key]int)}
}

// put remembers m as the answer to q, in place of an earlier one.
func (r *replies) put(q question, m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(m.Sent)
	if old := r.given[q]; old != nil {
		old.m = m
		return
	}
	if r.count[q.peer] >= senderShare {
		r.dropOldest(func(o question) bool { return o.peer == q.peer })
	} else if len(r.given) >= maxReplies {
		r.dropOldest(func(question) bool { return true })
	}
	r.given[q] = &reply{m: m}
	r.count[q.peer]++
	r.order = append(r.order, q)
}

// again gives the answer to q once more, as it must leave now.
func (r *replies) again(q question, now time.Time) (Message, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now.UnixMilli())
	a := r.given[q]
	if a == nil || a.times >= maxResending {
		return Message{}, false
	}
	a.times++
	return a.m.delayed(time.Duration(now.UnixMilli()-a.m.Sent) * time.Millisecond), true
}

func (r *replies) expire(now int64) {
	for len(r.order) > 0 {
		a := r.given[r.order[0]]
		if now-a.m.Sent < replyLife.Milliseconds() {
			return
		}
		r.remove(0)
	}
}

func (r *replies) dropOldest(match func(question) bool) {
	for i, q := range r.order {
		if match(q) {
			r.remove(i)
			return
		}
	}
}

func (r *replies) remove(i int) {
	q := r.order[i]
	delete(r.given, q)
	if r.count[q.peer]--; r.count[q.peer] == 0 {
		delete(r.count, q.peer)
	}
	r.order = append(r.order[:i], r.order[i+1:]...)
}
