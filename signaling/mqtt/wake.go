package mqtt

import (
	"context"
	"errors"
	"time"
)

const (
	// proof is what an open connection gets to show that it lives, or four
	// round trips if those are longer, up to maxProof.
	proof    = time.Second
	maxProof = 4 * time.Second
	// young is an attempt that is left to go on: the kernel sends its SYN again
	// by then.
	young = time.Second
)

var errWoken = errors.New("the network has changed meanwhile")

// Wake is for when the network is another than it was, or the machine has
// slept: what waits for its next try is tried at once, an attempt from before is
// begun anew, and a connection on which the broker does not answer within a
// second or so is replaced, long before its keep-alive would tell. It returns
// at once.
func (c *Channel) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for _, l := range c.order {
		l.woken = true
		s := l.session
		if s == nil {
			if l.attempt != nil && time.Since(l.begun) > young {
				l.attempt(errWoken)
			}
			l.hurry()
			continue
		}
		limit := min(max(proof, 4*s.rtt()), maxProof)
		c.wg.Go(func() {
			if !s.answers(c.ctx, limit) {
				s.wire.abort(errSilent)
				l.hurry()
			}
		})
	}
}

// hurry cuts the present pause of l's supervisor short, or its next one.
func (l *link) hurry() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// answers asks the broker whether it is there, and reports whether anything
// came within that time.
func (s *session) answers(ctx context.Context, within time.Duration) bool {
	sign := s.wire.sign()
	pingreq := []byte{12 << 4, 0} // MQTT 3.1.1, 3.12
	if _, err := s.stream.Write(pingreq); err != nil {
		return false
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-sign:
		return true
	case <-ctx.Done():
		return true // it is closed anyway
	case <-s.lost:
	case <-limit.C:
	}
	return false
}
