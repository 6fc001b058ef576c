package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// link is a broker that is wanted: an own one, or one that was joined. Its
// supervisor keeps a session with it. The fields below are guarded by the
// channel's mutex.
type link struct {
	broker address.Broker
	cancel context.CancelFunc
	kick   chan struct{} // has an element when a pause is to be cut short

	refs    int                     // own and joins
	leaving *time.Timer             // ends the link if nobody joins before, or nil
	session *session                // nil when there is none
	attempt context.CancelCauseFunc // ends the try under way, or nil
	begun   time.Time               // of attempt
	woken   bool                    // since the supervisor last paused
	rounds  int                     // tries that ended, one way or the other
	met     BrokerError             // what the last one met
	rtt     time.Duration
}

// supervise keeps a session open until ctx is done.
func (c *Channel) supervise(ctx context.Context, l *link) {
	log := c.config.Logger.With("broker", brokerName(l.broker))
	failures := 0
	for {
		trying, end := context.WithCancelCause(ctx)
		c.update(func() { l.attempt, l.begun = end, time.Now() })
		s, met := c.connect(trying, l)
		c.update(func() { l.attempt = nil })
		woken := context.Cause(trying) == errWoken
		end(nil)
		if s == nil {
			if ctx.Err() != nil {
				return
			}
			if woken {
				continue // its failure says nothing
			}
			c.update(func() { l.met = met; l.rounds++ })
			log.Debug("broker can't be reached", "error", met)
			c.config.OnState(l.broker, State{Endpoint: met.endpoint(), Err: met})
		} else {
			c.update(func() { l.session = s; l.rounds++; l.rtt = s.rtt() })
			log.Info("broker opened", "endpoint", s.endpoint.String(), "local", s.local, "remote", s.remote)
			c.config.OnState(l.broker, State{Open: true, Endpoint: s.endpoint.String()})
			select {
			case <-s.lost:
			case <-ctx.Done():
			}
			c.update(func() { l.rtt = s.rtt(); l.session = nil })
			if ctx.Err() != nil {
				s.end(true)
				return
			}
			s.end(false)
			err := s.wire.explain(errEnded)
			c.update(func() {
				l.met = BrokerError{Broker: l.broker, Endpoints: []EndpointError{{s.endpoint.String(), err}}}
			})
			log.Info("broker lost", "endpoint", s.endpoint.String(), "error", err, "after", time.Since(s.opened))
			c.config.OnState(l.broker, State{Endpoint: s.endpoint.String(), Err: err})
			// A broker that opens and drops us is not to be hammered.
			if time.Since(s.opened) > c.config.MaxBackoff {
				failures = 0
			}
		}
		c.update(func() {
			if l.woken {
				failures, l.woken = 0, false
			}
		})
		pause := time.NewTimer(backoff(failures, c.config.MinBackoff, c.config.MaxBackoff, rand.Float64()))
		failures++
		select {
		case <-pause.C:
		case <-l.kick:
		case <-ctx.Done():
		}
		pause.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// connect tries the endpoints of a broker once.
func (c *Channel) connect(ctx context.Context, l *link) (*session, BrokerError) {
	met := BrokerError{Broker: l.broker}
	urls, err := c.config.Endpoints(l.broker)
	if err != nil {
		met.Err = err
		return nil, met
	}
	if len(urls) == 0 {
		met.Err = errors.New("no URL is known")
		return nil, met
	}
	var endpoints []endpoint
	for _, u := range urls[:min(len(urls), maxEndpoints)] {
		e, err := parseEndpoint(u)
		if err != nil {
			met.Err = err
			continue
		}
		endpoints = append(endpoints, e)
	}
	if len(endpoints) == 0 {
		return nil, met
	}
	deliver := func(payload []byte) {
		c.received.Add(1)
		c.queue.put(signaling.Delivery{Broker: l.broker, Payload: payload, At: time.Now()})
	}
	s, errs := race(ctx, len(endpoints), c.config.Stagger, c.wg.Go,
		func(ctx context.Context, i int) (*session, error) { return c.openSession(ctx, endpoints[i], deliver) },
		func(s *session) { s.end(false) })
	for i, err := range errs {
		if err != nil {
			met.Endpoints = append(met.Endpoints, EndpointError{endpoints[i].String(), err})
		}
	}
	return s, met
}

// endpoint is the last one tried, "" if none was.
func (e BrokerError) endpoint() string {
	if n := len(e.Endpoints); n > 0 {
		return e.Endpoints[n-1].URL
	}
	return ""
}

// update changes links under the mutex, and wakes who waits for a change.
func (c *Channel) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// hold takes a reference to the link of b, which it makes if there is none.
// The mutex is held.
func (c *Channel) hold(b address.Broker) (*link, error) {
	l := c.links[b]
	if l == nil {
		if len(c.links) >= maxBrokers {
			return nil, fmt.Errorf("already at %d brokers", maxBrokers)
		}
		ctx, cancel := context.WithCancel(c.ctx)
		l = &link{broker: b, cancel: cancel, kick: make(chan struct{}, 1)}
		l.met = BrokerError{Broker: b, Err: errPending}
		c.links[b] = l
		c.order = append(c.order, l)
		c.wg.Go(func() { c.supervise(ctx, l) })
	} else if l.session == nil {
		l.hurry()
	}
	l.refs++
	if l.leaving != nil {
		l.leaving.Stop()
		l.leaving = nil
	}
	return l, nil
}

// release gives a reference back. The mutex is held.
func (c *Channel) release(l *link) {
	l.refs--
	if l.refs > 0 || c.closed {
		return
	}
	if c.config.Linger < 0 {
		c.drop(l)
		return
	}
	var t *time.Timer
	t = time.AfterFunc(c.config.Linger, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if l.leaving == t && l.refs == 0 { // nobody joined meanwhile
			c.drop(l)
		}
	})
	l.leaving = t
}

// drop ends a link. The mutex is held.
func (c *Channel) drop(l *link) {
	l.cancel()
	delete(c.links, l.broker)
	for i, x := range c.order {
		if x == l {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			break
		}
	}
}
