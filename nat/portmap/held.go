package portmap

import (
	"errors"
	"time"
)

const (
	// minRenew keeps a router that grants moments from being asked all the time.
	minRenew = time.Second
	// minRetry is when a router that did not answer is asked again; it doubles.
	minRetry = time.Second
)

// held is a mapping that we have, or had and want again.
type held struct {
	found
	lease
	have     bool
	lost     bool // the router has, it seems, and not made it anew yet
	renewed  time.Time
	failures int // in a row, to get an answer
}

// wait is how long nothing needs to be done, where the router is asked every
// check whether it still has the mapping.
func (h *held) wait(check time.Duration) time.Duration {
	wait := check
	switch {
	case h.have && h.failures > 0:
		wait = min(wait, minRetry<<min(h.failures-1, 16))
	case h.have && h.life > 0:
		wait = min(wait, time.Until(h.renewed.Add(h.life/2)))
	}
	return max(wait, minRenew/4)
}

// due reports whether it is time to renew: after half of the lifetime, so that
// there are more tries while it lasts (RFC 6886 §3.3).
func (h *held) due(now time.Time) bool {
	return h.life > 0 && now.Sub(h.renewed) >= max(h.life/2, minRenew)
}

// over reports whether the mapping is no more, given what renewing it met: the
// router says no, or has not renewed it in time.
func (h *held) over(err error, now time.Time) bool {
	var no *RefusedError
	return h.expired(now) || errors.As(err, &no) || errors.Is(err, ErrUseless)
}

func (h *held) expired(now time.Time) bool { return h.life > 0 && now.Sub(h.renewed) >= h.life }
