package signaling

import (
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

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
