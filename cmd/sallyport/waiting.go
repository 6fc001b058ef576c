package main

import (
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// How long a command stays silent about what it waits for, at first and from then
// on.
const (
	silence = 5 * time.Second
	repeat  = 10 * time.Second
)

// nowAndThen calls tell after the first silence, and from then on every pause, with
// the time since it was called itself, until stop is called, which waits for that.
func nowAndThen(pause time.Duration, tell func(waited time.Duration)) (stop func()) {
	ended := make(chan struct{})
	begun := time.Now()
	var telling sync.WaitGroup
	telling.Go(func() {
		timer := time.NewTimer(silence)
		defer timer.Stop()
		for {
			select {
			case <-ended:
				return
			case <-timer.C:
				timer.Reset(pause)
			}
			tell(time.Since(begun))
		}
	})
	return func() { close(ended); telling.Wait() }
}

// tellIdle says something after a few seconds, and again now and then, until
// stop is called.
func (a *app) tellIdle(what string) (stop func()) {
	return a.tellIdleOf(func() string { return what })
}

// tellIdleOf is tellIdle for what changes meanwhile.
func (a *app) tellIdleOf(latest func() string) (stop func()) {
	return nowAndThen(3*repeat, func(waited time.Duration) {
		what := latest()
		a.say("%s", what)
		if a.json {
			emit(a.err, waitingEvent{"waiting", milliseconds(waited), what})
		}
	})
}

// tellWaiting says what a call is at, after some seconds and from then on now and
// again, until stop is called.
func (a *app) tellWaiting(timeout time.Duration, peer address.Address, s *story) (stop func()) {
	return nowAndThen(repeat, func(waited time.Duration) {
		waited = waited.Round(time.Second)
		latest := s.latest()
		if a.json {
			emit(a.err, waitingEvent{"waiting", milliseconds(waited), latest})
			return
		}
		if latest == "" {
			latest = "looking at the networks here"
		}
		a.say("No connection to %s after %v: %s. Giving up after %v.", peer.Key.Short(), waited, latest, timeout)
	})
}

type waitingEvent struct {
	Event string  `json:"event"`
	MS    float64 `json:"ms"`
	What  string  `json:"what"`
}
