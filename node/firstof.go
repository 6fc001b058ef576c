package node

import (
	"context"
	"io"
	"sync"
	"time"
)

// firstOf gives what the first of several tries brings that brings something,
// and ends the others. Each begins when the one before has failed, or after a
// while. It waits for all of them, and closes what comes too late. Without a
// success it gives nil and what each has met.
func firstOf[T any](ctx context.Context, after time.Duration, tries ...func(context.Context) (*T, error)) (*T, []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var won *T
	errs := make([]error, len(tries))
	var work sync.WaitGroup
	before := make(chan struct{}) // closed when the try before has failed
	close(before)
	for k, try := range tries {
		failed, previous := make(chan struct{}), before
		before = failed
		work.Go(func() {
			head := time.NewTimer(time.Duration(k) * after)
			defer head.Stop()
			select {
			case <-previous:
			case <-head.C:
			case <-ctx.Done():
			}
			var got *T
			if errs[k] = ctx.Err(); errs[k] == nil {
				got, errs[k] = try(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case got == nil:
				close(failed)
			case won == nil:
				won = got
				cancel()
			default:
				discard(got)
			}
		})
	}
	work.Wait()
	if won != nil {
		return won, nil
	}
	return nil, errs
}

// discard closes what came too late.
func discard(late any) {
	if c, ok := late.(io.Closer); ok {
		_ = c.Close()
	}
}
