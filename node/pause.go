package node

import (
	"context"
	"time"
)

// pause waits for d, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool { return pauseUntil(ctx, nil, d) }

// pauseUntil waits for d or until done is closed, and reports whether ctx still
// lasts.
func pauseUntil(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
