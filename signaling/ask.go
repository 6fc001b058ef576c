package signaling

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Answer is what a question brought.
type Answer struct {
	Message Message
	Broker  address.Broker // that it came by
	At      time.Time      // when it was read from the connection
	// RTT is the round trip through the brokers, without the time that the
	// peer took to answer. It is good to some milliseconds.
	RTT time.Duration
	// Offset is how far the peer's wall clock is ahead of ours, good to half
	// of RTT where the two ways take unlike times. The peer may lie.
	Offset time.Duration
}

// question names a message by whom it went to and its id.
type question struct {
	peer address.Key
	id   ID
}

// waiter is somebody who awaits an answer.
type waiter struct {
	acked  chan struct{}
	answer chan In
}

// The pace of retransmission.
const (
	firstWait    = time.Second // where no round trip is known
	minWait      = 300 * time.Millisecond
	maxFirstWait = 3 * time.Second
	ackedWait    = 2 * time.Second
	maxWait      = 8 * time.Second
	defaultTTL   = 30_000 // ms, for questions whose context has no deadline
)

// Send delivers m to the owner of to by all of brokers at once, and returns
// when it is acknowledged or answered; a REFUSE gives a *RefusedError.
//
// It fills in ID and TTL where they are zero, Sent and From always. TTL becomes
// what is left of ctx, at most 60 s, or 30 s where ctx has no deadline; when it
// is over, or ctx is, Send gives a *NoAnswerError. Copies follow one another at
// growing distances, the first after about three round trips to the nearest
// broker; each is sealed anew, and fires by so much earlier as it leaves later.
// The brokers are joined for as long as it takes: who has several messages for
// one peer joins them before. If none can be reached it gives a *NoBrokerError.
func (x *Exchange) Send(ctx context.Context, to address.Key, brokers []address.Broker, m Message) error {
	_, err := x.converse(ctx, to, brokers, m, false)
	return err
}

// Ask is Send, but it returns with the answer: the first message other than an
// ACK that names m, signed by the owner of to, whether that one is admitted
// here or not. After an ACK the question is repeated only every few seconds,
// since an answer can get lost too.
func (x *Exchange) Ask(ctx context.Context, to address.Key, brokers []address.Broker, m Message) (Answer, error) {
	return x.converse(ctx, to, brokers, m, true)
}

func (x *Exchange) converse(
	ctx context.Context, to address.Key, brokers []address.Broker, m Message, wantsAnswer bool,
) (Answer, error) {
	if err := x.enter(); err != nil {
		return Answer{}, err
	}
	defer x.work.Done()
	switch {
	case to.IsZero():
		return Answer{}, errors.New("signalling: a message for nobody")
	case to == x.public:
		return Answer{}, errors.New("signalling: a message for ourselves")
	case len(brokers) == 0:
		return Answer{}, &NoBrokerError{To: to}
	}
	ctx, cancel := x.within(ctx)
	defer cancel()

	leave, err := x.config.Channel.Join(ctx, brokers)
	if err != nil {
		if context.Cause(ctx) == ErrClosed {
			return Answer{}, ErrClosed
		}
		return Answer{}, &NoBrokerError{To: to, Cause: err}
	}
	defer leave()

	x.stamp(&m, remaining(ctx))
	if _, err := Encode(m); err != nil {
		return Answer{}, err
	}
	w := x.await(question{to, m.ID})
	defer x.forget(question{to, m.ID})

	in, err := x.insist(ctx, to, brokers, m, w, wantsAnswer)
	if err != nil {
		return Answer{}, err
	}
	return x.conclude(m, in, to)
}

// insist publishes copies of m until it is answered. Where an ACK was enough,
// In is empty.
func (x *Exchange) insist(
	ctx context.Context, to address.Key, brokers []address.Broker, m Message, w *waiter, wantsAnswer bool,
) (In, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(m.TTL)*time.Millisecond)
	defer cancel()
	begin := time.Now()
	failure := &NoAnswerError{To: to}
	wait := x.firstWait(brokers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	published := make(chan error, 1)
	publishing := false
	defer func() {
		if publishing {
			cancel()
			<-published
		}
	}()
	for {
		select {
		case <-timer.C:
			if !publishing { // one that is slow to leave is not overtaken
				publishing = true
				late := m.delayed(time.Since(begin))
				go func() { published <- x.transmit(ctx, to, brokers, late) }()
			}
			timer.Reset(jitter(wait))
			wait = min(2*wait, maxWait)
		case failure.Last = <-published:
			publishing = false
			if failure.Last == nil {
				failure.Copies++
			}
		case <-w.acked:
			if !wantsAnswer {
				return In{}, nil
			}
			if !failure.Acked {
				failure.Acked = true
				wait = ackedWait
				timer.Reset(jitter(wait))
			}
		case in := <-w.answer:
			return in, nil
		case <-ctx.Done():
			select {
			case in := <-w.answer: // both at once
				return in, nil
			default:
			}
			cause := context.Cause(ctx)
			if cause == ErrClosed {
				return In{}, ErrClosed
			}
			failure.Cause, failure.Waited = cause, time.Since(begin)
			return In{}, failure
		}
	}
}

// conclude makes an Answer of what came back.
func (x *Exchange) conclude(asked Message, in In, peer address.Key) (Answer, error) {
	if in.From.IsZero() { // acknowledged, which was enough
		return Answer{}, nil
	}
	m := in.Message
	rtt, offset := clocks(asked.Sent, m.Heard, m.Sent, in.heard)
	if m.Kind == KindRefuse {
		return Answer{}, &RefusedError{By: peer, Reason: m.Refuse.Reason, Detail: m.Refuse.Detail, Offset: offset}
	}
	return Answer{Message: m, Broker: in.Broker, At: in.At, RTT: rtt, Offset: offset}, nil
}

// clocks reasons as NTP does (RFC 5905 §8) from the four times of a question
// and its answer in ms: the first and the last by the asker's clock, the other
// two by the answerer's. All are within maxTime, so that nothing overflows.
func clocks(asked, heard, answered, got int64) (rtt, offset time.Duration) {
	trip := max(0, (got-asked)-(answered-heard))
	ahead := (heard - asked + answered - got) / 2
	return time.Duration(trip) * time.Millisecond, time.Duration(ahead) * time.Millisecond
}

// await makes room for the answer to q.
func (x *Exchange) await(q question) *waiter {
	w := &waiter{acked: make(chan struct{}, 1), answer: make(chan In, 1)}
	x.mu.Lock()
	x.waiting[q] = w
	x.mu.Unlock()
	return w
}

func (x *Exchange) forget(q question) {
	x.mu.Lock()
	delete(x.waiting, q)
	x.mu.Unlock()
}

// asked tells the inbox whether an answer is awaited.
func (x *Exchange) asked(from address.Key, id ID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waiting[question{from, id}] != nil
}

// answered hands an answer to whoever awaits it. The first one counts.
func (x *Exchange) answered(in In) {
	x.mu.Lock()
	w := x.waiting[question{in.From, in.Message.Answers}]
	x.mu.Unlock()
	if w == nil {
		return
	}
	if in.Message.Kind == KindAck {
		select {
		case w.acked <- struct{}{}:
		default:
		}
		return
	}
	select {
	case w.answer <- in:
	default:
	}
}

// delayed is the copy of m that leaves so much later than the first.
func (m Message) delayed(by time.Duration) Message {
	ms := min(max(0, by.Milliseconds()), MaxDelay)
	m.Delay = ms
	if m.Punch != nil {
		p := *m.Punch
		p.Fire = max(0, p.Fire-ms)
		m.Punch = &p
	}
	return m
}

// firstWait is when to send the second copy: a question and its ACK take one
// round trip of ours and one of the peer's, which is not known; it may be twice
// ours.
func (x *Exchange) firstWait(brokers []address.Broker) time.Duration {
	var best time.Duration
	for _, b := range brokers {
		if rtt := x.config.Channel.RTT(b); rtt > 0 && (best == 0 || rtt < best) {
			best = rtt
		}
	}
	if best == 0 {
		return firstWait
	}
	return min(max(3*best+100*time.Millisecond, minWait), maxFirstWait)
}

// jitter spreads d over a quarter more, so that nodes that lost a broker at the
// same time do not come back at the same time.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/4+1) }

// remaining is what is left of ctx, as a ttl.
func remaining(ctx context.Context) int64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultTTL
	}
	return min(max(1, time.Until(deadline).Milliseconds()), MaxTTL)
}
