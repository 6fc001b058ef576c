package mqtt

import (
	"context"
	"errors"
	"time"
)

// errOvertaken is what a try meets that another one beat.
var errOvertaken = errors.New("another endpoint was faster")

// race tries n things staggered: the next one starts after stagger, or as soon
// as the last one started has failed. The first success wins; the others are
// cancelled, and those that succeed all the same are given to discard. It
// returns the errors in the order of the tries, nil for those not started. The
// losers are waited for in a goroutine of spawn.
func race[T any](ctx context.Context, n int, stagger time.Duration, spawn func(func()),
	try func(ctx context.Context, i int) (T, error), discard func(T)) (T, []error) {

	type result struct {
		i     int
		value T
		err   error
	}
	ctx, cancel := context.WithCancelCause(ctx)
	results := make(chan result, n)
	errs := make([]error, n)
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	started, running := 0, 0
	start := func() {
		i := started
		started++
		running++
		timer.Reset(stagger)
		spawn(func() {
			v, err := try(ctx, i)
			results <- result{i, v, err}
		})
	}
	for {
		if started < n && running == 0 && ctx.Err() == nil {
			start()
		}
		if running == 0 {
			var none T
			cancel(nil)
			return none, errs
		}
		select {
		case r := <-results:
			running--
			errs[r.i] = r.err
			if r.err == nil {
				cancel(errOvertaken)
				losers := running
				spawn(func() {
					for range losers {
						if r := <-results; r.err == nil {
							discard(r.value)
						}
					}
				})
				return r.value, errs
			}
			if r.i == started-1 && started < n && ctx.Err() == nil {
				start()
			}
		case <-timer.C:
			if started < n && ctx.Err() == nil {
				start()
			}
		}
	}
}
