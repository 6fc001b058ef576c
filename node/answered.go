package node

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

const (
	// remembered is how long a nomination counts: longer than any attempt
	// lasts, so that a second one is told that it is lost.
	remembered = 5 * time.Minute
	// maxAnswered bounds the memory for them; the oldest are forgotten first.
	maxAnswered = 4096
)

// attempt names an attempt of a peer's.
type attempt struct {
	peer address.Key
	id   [16]byte
}

// answered remembers which attempts of others have been decided, and what we
// still do for those that have not.
type answered struct {
	mu      sync.Mutex
	taken   map[attempt]bool
	order   []taken
	working map[attempt]map[int]context.CancelFunc
	next    int
	rounds  map[punched]*turn
}

// punched names the punches of an attempt in one address family.
type punched struct {
	attempt
	v6 bool
}

// turn is the round of them that is under way.
type turn struct {
	number int
	end    context.CancelFunc
}

type taken struct {
	attempt attempt
	at      time.Time
}

func newAnswered() *answered {
	return &answered{taken: make(map[attempt]bool), working: make(map[attempt]map[int]context.CancelFunc), rounds: make(map[punched]*turn)}
}

// take decides an attempt: the first nomination wins, whatever we still do for
// the attempt ends, and every later one is lost.
func (a *answered) take(peer address.Key, id [16]byte, now time.Time) bool {
	key := attempt{peer, id}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.order) > 0 && (len(a.order) >= maxAnswered || now.Sub(a.order[0].at) > remembered) {
		delete(a.taken, a.order[0].attempt)
		a.order = a.order[1:]
	}
	if a.taken[key] {
		return false
	}
	a.taken[key] = true
	a.order = append(a.order, taken{key, now})
	for _, cancel := range a.working[key] {
		cancel()
	}
	return true
}

// work gives a context for something that we do for an attempt: it ends with
// the nomination. done must be called.
func (a *answered) work(ctx context.Context, peer address.Key, id [16]byte) (_ context.Context, done func()) {
	key := attempt{peer, id}
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[key] {
		cancel()
		return ctx, cancel
	}
	if a.working[key] == nil {
		a.working[key] = make(map[int]context.CancelFunc)
	}
	a.next++
	n := a.next
	a.working[key][n] = cancel
	return ctx, func() {
		cancel()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.working[key], n)
		if len(a.working[key]) == 0 {
			delete(a.working, key)
		}
	}
}

// round gives a context for one round of a punch: it ends when that round comes
// again, or a later one. done must be called.
func (a *answered) round(ctx context.Context, p punched, number int) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.rounds[p]; before != nil {
		if before.number > number {
			cancel()
			return ctx, cancel
		}
		before.end()
	}
	mine := &turn{number, cancel}
	a.rounds[p] = mine
	return ctx, func() {
		cancel()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.rounds[p] == mine {
			delete(a.rounds, p)
		}
	}
}
