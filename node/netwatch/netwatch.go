// Package netwatch tells when the networks of this machine may have changed:
// at once where the system says so, which on Linux it does by rtnetlink, and
// by the clock elsewhere. It knows nothing of what they are now.
package netwatch

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Event is why the networks may be looked at anew.
type Event int

const (
	// Look is that some time has passed: nothing is known to have happened.
	Look Event = iota
	// Changed is that the system tells of an address, a default route or a
	// link that has come, gone or changed. What it tells within a moment is
	// one event.
	Changed
	// Woke is that the machine has slept, or that this process was stopped:
	// what was not answered meanwhile is gone.
	Woke
)

func (e Event) String() string {
	return [...]string{"look", "changed", "woke"}[e]
}

const (
	// quiet ends a burst: an interface that gets an address and a route has
	// both within some milliseconds. most is what a burst may take that does
	// not end.
	quiet = 50 * time.Millisecond
	most  = 500 * time.Millisecond
	// pace and burst bound what a network that comes and goes all the time
	// costs those who are told: a few events at once, then one in this time.
	pace  = 2 * time.Second
	burst = 5
	// lookEvery is between two looks where the system tells nothing, and
	// seldom where it does, in case it has not told all.
	lookEvery = 3 * time.Second
	seldom    = 10 // of lookEvery
)

// Config says what is of interest. The zero value is everything.
type Config struct {
	// Ignore reports whether the link of that name may come and go unnoticed.
	// Addresses and routes are told of all the same.
	Ignore func(link string) bool
}

// Watch calls tell, one event at a time, until ctx ends.
func Watch(ctx context.Context, cfg Config, tell func(Event)) {
	if cfg.Ignore == nil {
		cfg.Ignore = func(string) bool { return false }
	}
	said, stop := subscribe(cfg.Ignore)
	defer stop()
	watch(ctx, said, read, tell)
}

// watch is Watch with its sources: said has an element for each piece of news
// of the system, and is closed or nil where the system tells nothing.
func watch(ctx context.Context, said <-chan struct{}, read func() clocks, tell func(Event)) {
	limit := rate.NewLimiter(rate.Every(pace), burst)
	var ready <-chan time.Time // when the burst is told of
	var begun time.Time        // of the burst
	var earliest time.Duration // from begun on, so that the pace is kept
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last, ticks := read(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-said:
			if !ok {
				said = nil
				break
			}
			if ready == nil {
				begun, earliest = time.Now(), limit.Reserve().Delay()
			}
			passed := time.Since(begun)
			ready = time.After(max(min(quiet, most-passed), earliest-passed))
		case <-ready:
			ready = nil
			tell(Changed)
		case <-tick.C:
			now := read()
			slept := last.slept(now)
			last = now
			ticks++
			switch {
			case slept:
				tell(Woke)
			case said == nil || ticks%seldom == 0:
				tell(Look)
			}
			last = read() // what tell took is no sleep
		}
	}
}
