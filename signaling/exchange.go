package signaling

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// Handler does what messages ask for. Handle is called on a goroutine of its
// own for every message that is delivered, and not before the message was
// acknowledged; it may take its time, and must end when ctx does, which is at
// Close. GET_ADDR, ACK and answers to questions never reach it.
type Handler interface {
	Handle(ctx context.Context, in In)
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(ctx context.Context, in In)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, in In) { f(ctx, in) }

// Config is what an Exchange needs. Key and Channel must be set.
type Config struct {
	Key     address.PrivateKey
	Channel Channel // stays open at Close: it belongs to whoever made it
	// Self gives our current address, which goes into every message and
	// answers GET_ADDR. Default: Key, and the brokers that are open now.
	Self func() address.Address
	// Admission says who is answered until Admit is called. Default nobody.
	Admission Admission
	// Also says how far a sender is trusted beside Admission, at the moment: the
	// higher of the two counts. It is called for every message and must not
	// block. Default: nobody is.
	Also func(address.Key) Level
	// Handler gets what is delivered. Default: everything but GET_ADDR is
	// refused as unsupported.
	Handler Handler
	// Handlers is how many calls of Handler may run at once; default 16. One
	// sender gets a quarter of them, all open senders together three quarters.
	Handlers int
	Now      func() time.Time // the wall clock; default time.Now
	Logger   *slog.Logger     // default silent
}

const (
	defaultHandlers = 16
	openers         = 2 // goroutines that open payloads
	couriers        = 2 // goroutines that send what nobody waits for
	errandQueue     = 256
	publishTimeout  = 5 * time.Second

	// Refusals of what the guard turned away. They are courtesy, and a replay
	// of old messages must not become a flood of new ones.
	courtesyRate, courtesyBurst = 5, 20
)

// Exchange sends messages over a Channel until they are answered, and takes in
// those of others. Close ends it.
type Exchange struct {
	config   Config
	public   address.Key
	log      *slog.Logger
	inbox    *Inbox
	replies  *replies
	desk     *desk
	courtesy *rate.Limiter

	ctx      context.Context
	cancel   context.CancelFunc
	screened *lines
	errands  chan errand

	mu      sync.Mutex
	closed  bool
	waiting map[question]*waiter
	work    sync.WaitGroup
}

// errand is a message that is sent on our own account.
type errand struct {
	in In
	m  Message
}

// NewExchange starts an exchange.
func NewExchange(config Config) (*Exchange, error) {
	if config.Key.IsZero() || config.Channel == nil {
		return nil, errors.New("signalling: an exchange needs a key and a channel")
	}
	if config.Handlers <= 0 {
		config.Handlers = defaultHandlers
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	x := &Exchange{
		config:   config,
		public:   config.Key.Public(),
		log:      config.Logger,
		replies:  newReplies(),
		desk:     newDesk(config.Handlers),
		courtesy: rate.NewLimiter(courtesyRate, courtesyBurst),
		screened: newLines(),
		errands:  make(chan errand, errandQueue),
		waiting:  make(map[question]*waiter),
	}
	x.inbox = NewInbox(InboxConfig{
		Key: config.Key, Admission: config.Admission, Also: config.Also, Now: config.Now, Asked: x.asked,
	})
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.work.Go(x.read)
	for range openers {
		x.work.Go(x.open)
	}
	for range couriers {
		x.work.Go(x.run)
	}
	return x, nil
}

// Admit changes who is admitted, from the next message on.
func (x *Exchange) Admit(a Admission) { x.inbox.Admit(a) }

// Stats gives the counts so far.
func (x *Exchange) Stats() Stats { return x.inbox.Stats() }

// Close ends every Ask, Send and Reply with ErrClosed, cancels the context of
// every handler, and waits for all of them. It may be called more than once,
// but not from a handler.
func (x *Exchange) Close() error {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.cancel()
	x.work.Wait()
	return nil
}

// enter counts a call that Close must wait for.
func (x *Exchange) enter() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || x.ctx.Err() != nil {
		return ErrClosed
	}
	x.work.Add(1)
	return nil
}

// within gives a context that ends with ctx or at Close, whichever is first.
func (x *Exchange) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(x.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// read takes payloads off the channel and screens them.
func (x *Exchange) read() {
	for {
		select {
		case <-x.ctx.Done():
			return
		case d, ok := <-x.config.Channel.Deliveries():
			if !ok {
				x.cancel() // the channel was closed: nothing will come any more
				return
			}
			if x.inbox.Screen(d) && !x.screened.put(d) {
				x.inbox.counters.congested.Add(1)
			}
		}
	}
}

// open opens what was screened, and does what is to be done.
func (x *Exchange) open() {
	for {
		select {
		case <-x.ctx.Done():
			return
		case <-x.screened.more:
			d, ok := x.screened.take()
			if !ok {
				continue
			}
			in, verdict := x.inbox.Open(d)
			if verdict != Drop {
				x.log.Debug("signal", "kind", in.Message.Kind, "id", in.Message.ID, "from", in.From.Short(),
					"level", in.Level, "broker", in.Broker, "verdict", verdict)
			}
			x.dispatch(in, verdict)
		}
	}
}

func (x *Exchange) dispatch(in In, verdict Verdict) {
	switch verdict {
	case Answered:
		x.answered(in)
	case Fresh:
		x.accept(in)
	case Duplicate:
		// A retransmission: our answer was lost, or is on its way.
		if m, ok := x.replies.again(question{in.From, in.Message.ID}, x.config.Now()); ok {
			x.post(in, m)
		}
	case Late:
		x.decline(in, RefusedClock)
	case Busy:
		x.decline(in, RefusedBusy)
	}
}

// accept answers a fresh message, or hands it to the handler.
func (x *Exchange) accept(in In) {
	switch kind := in.Message.Kind; {
	case kind == KindGetAddress:
		x.answer(in, Message{Kind: KindReturnAddress})
	case x.config.Handler == nil || !kind.handled():
		x.answer(in, Message{Kind: KindRefuse, Refuse: &Refuse{Reason: RefusedUnsupported}})
	case !x.desk.enter(in.From, in.Level):
		x.answer(in, Message{Kind: KindRefuse, Refuse: &Refuse{Reason: RefusedBusy}})
	default:
		x.answer(in, Message{Kind: KindAck})
		x.work.Go(func() { // a worker calls this, so that the count is not zero
			defer x.desk.leave(in.From, in.Level)
			x.config.Handler.Handle(x.ctx, in)
		})
	}
}

// post leaves m to the couriers.
func (x *Exchange) post(in In, m Message) {
	select {
	case x.errands <- errand{in, m}:
	default:
		x.inbox.counters.unsent.Add(1)
	}
}

// run sends what was posted.
func (x *Exchange) run() {
	for {
		select {
		case <-x.ctx.Done():
			return
		case e := <-x.errands:
			ctx, cancel := context.WithTimeout(x.ctx, publishTimeout)
			if err := x.transmit(ctx, e.in.From, x.wayBack(e.in), e.m); err != nil {
				x.inbox.counters.unsent.Add(1)
				x.log.Debug("signal not sent", "kind", e.m.Kind, "to", e.in.From.Short(), "error", err)
			}
			cancel()
		}
	}
}

// stamp fills in what every first copy has.
func (x *Exchange) stamp(m *Message, ttl int64) {
	if m.ID.IsZero() {
		m.ID = NewID()
	}
	if m.TTL == 0 {
		m.TTL = ttl
	}
	m.Sent, m.Delay = x.config.Now().UnixMilli(), 0
	if x.config.Self != nil {
		m.From = x.config.Self()
	} else {
		open := x.config.Channel.Open()
		m.From = address.Address{Brokers: open[:min(len(open), address.MaxBrokers)]}
	}
	m.From.Key, m.From.Foreign = x.public, ""
}

// transmit seals m anew and publishes it.
func (x *Exchange) transmit(ctx context.Context, to address.Key, brokers []address.Broker, m Message) error {
	body, err := Encode(m)
	if err != nil {
		return err
	}
	payload, err := seal.Seal(x.config.Key, to, body)
	if err != nil {
		return err
	}
	return x.config.Channel.Publish(ctx, to, brokers, payload)
}

// handled reports whether a kind goes to the handler.
func (k Kind) handled() bool { return k == KindDirect || k == KindPunch || k == KindRelay }
