package circuit

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

var (
	// ErrAge: the circuit has been there for as long as it may.
	ErrAge = errors.New("the circuit has reached its age")
	// ErrBytes: the circuit has carried as much as it may.
	ErrBytes = errors.New("the circuit has carried its share")
	// ErrIdle: nothing has passed for as long as that may be.
	ErrIdle = errors.New("nothing passes through the circuit")
)

// chunk is how much is passed on at once; at a low rate it is a second's worth,
// but not less than leastChunk.
const chunk, leastChunk = 32 << 10, 1 << 10

// End is one of the two streams of a circuit.
type End interface {
	io.ReadWriteCloser
	CloseWrite() error
	Reset() error
}

// Meter counts what passes through a circuit while it passes. The zero value is
// ready.
type Meter struct{ there, back atomic.Uint64 }

// Bytes are those that went from the first end to the second, and back.
func (m *Meter) Bytes() (there, back uint64) { return m.there.Load(), m.back.Load() }

// Splice passes on what comes on each of two streams to the other, ends
// included, until both have ended, one of them fails, a limit is reached or ctx
// ends. It closes both: so that each knows that something is missing, unless
// both had ended. m counts the bytes.
func Splice(ctx context.Context, a, b End, l Limits, m *Meter) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, expire := context.WithTimeoutCause(ctx, l.Age, ErrAge)
	defer expire()
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		both(a.Reset, b.Reset)
	})
	idle := time.AfterFunc(l.Idle, func() { cancel(ErrIdle) })
	defer idle.Stop()
	piece := min(chunk, max(l.Rate, leastChunk))
	w := &wire{
		limiter: rate.NewLimiter(rate.Limit(l.Rate), int(max(piece, l.Rate/8))), most: l.Bytes, piece: int(piece),
		moved: func() { idle.Reset(l.Idle) },
	}
	both(
		func() error { return w.pass(ctx, cancel, a, b, &m.there) },
		func() error { return w.pass(ctx, cancel, b, a, &m.back) },
	)
	if !stop() {
		<-cut
		return context.Cause(ctx)
	}
	both(a.Close, b.Close)
	return nil
}

// both runs two things side by side.
func both(one, two func() error) {
	var work sync.WaitGroup
	work.Go(func() { _ = one() })
	_ = two()
	work.Wait()
}

// wire is what the two directions of a circuit share.
type wire struct {
	limiter *rate.Limiter
	piece   int // is read at once
	most    int64
	taken   atomic.Int64
	moved   func() // is told of each piece
}

// pass copies from one end to the other until the first one ends, or the second
// takes no more: then the other direction will soon see why.
func (w *wire) pass(ctx context.Context, cancel context.CancelCauseFunc, from, to End, passed *atomic.Uint64) error {
	buf := make([]byte, w.piece)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			w.moved()
			if w.taken.Add(int64(n)) > w.most {
				cancel(ErrBytes)
				return ErrBytes
			}
			if err := w.limiter.WaitN(ctx, n); err != nil {
				cancel(ErrAge) // its turn would come after the end
				return err
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			passed.Add(uint64(n))
			w.moved()
		}
		switch {
		case errors.Is(err, io.EOF):
			return to.CloseWrite()
		case err != nil:
			cancel(err)
			return err
		}
	}
}
