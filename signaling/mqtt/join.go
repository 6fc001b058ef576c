package mqtt

import (
	"context"
	"errors"
	"sync"

	"github.com/sallyport-net/sallyport/address"
)

// Wait returns when at least one own broker is open, or with ErrClosed, or,
// when ctx is done before, with a *BrokersError.
func (c *Channel) Wait(ctx context.Context) error {
	return c.await(ctx, func() (bool, error) {
		own := c.order[:c.own]
		for _, l := range own {
			if l.isOpen() {
				return true, nil
			}
		}
		if len(own) == 0 {
			return true, &BrokersError{Op: "open", Cause: errors.New("the channel has no brokers of its own")}
		}
		return false, failure(own)
	})
}

// Join connects to brokers and keeps the connections until leave is called
// and nobody else needs them. It returns when the first one is open, or with
// a *BrokersError when each has failed once, or when ctx is done. Those that
// are open already are used as they are; those in a pause are tried at once.
func (c *Channel) Join(ctx context.Context, brokers []address.Broker) (leave func(), err error) {
	brokers = distinct(brokers)
	if len(brokers) == 0 {
		return nil, &BrokersError{Op: "open", Cause: errors.New("no brokers to join")}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	var held []*link
	var since []int
	refused := &BrokersError{Op: "open"}
	for _, b := range brokers {
		l, err := c.hold(b)
		if err != nil {
			refused.Brokers = append(refused.Brokers, BrokerError{Broker: b, Err: err})
			continue
		}
		held = append(held, l)
		since = append(since, l.rounds)
	}
	c.mu.Unlock()

	var once sync.Once
	leave = func() {
		once.Do(func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, l := range held {
				c.release(l)
			}
		})
	}
	err = c.await(ctx, func() (bool, error) {
		failed := 0
		for i, l := range held {
			if l.isOpen() {
				return true, nil
			}
			if l.rounds > since[i] {
				failed++
			}
		}
		e := failure(held)
		e.Brokers = append(e.Brokers, refused.Brokers...)
		return failed == len(held), e
	})
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// await waits until check, which is called with the mutex held, is done. Its
// error counts then, or is given the context's as its cause.
func (c *Channel) await(ctx context.Context, check func() (done bool, err error)) error {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return ErrClosed
		}
		done, err := check()
		changed := c.changed
		c.mu.Unlock()
		if done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if e, ok := err.(*BrokersError); ok {
				e.Cause = ctx.Err()
			}
			return err
		}
	}
}

// failure collects what each link met. The mutex is held.
func failure(links []*link) *BrokersError {
	e := &BrokersError{Op: "open"}
	for _, l := range links {
		e.Brokers = append(e.Brokers, l.met)
	}
	return e
}
