package circuit

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

var (
	// ErrAge: the circuit has been there for as long as it may.
	ErrAge = errors.New("the circuit has reached its age")
	// ErrBytes: the circuit has carried as much as it may.
	ErrBytes = errors.New("the circuit has carried its share")
)

// chunk is how much is passed on at once.
const chunk = 32 << 10

// End is one of the two streams of a circuit.
type End interface {
	io.ReadWriteCloser
	CloseWrite() error
	Reset() error
}

// Splice passes on what comes on each of two streams to the other, ends
// included, until both have ended, one of them fails, a limit is reached or ctx
// ends. It closes both: so that each knows that something is missing, unless
// both had ended. It gives the bytes passed, both ways together.
func Splice(ctx context.Context, a, b End, l Limits) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, expire := context.WithTimeoutCause(ctx, l.Age, ErrAge)
	defer expire()
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		both(a.Reset, b.Reset)
	})
	w := &wire{limiter: rate.NewLimiter(rate.Limit(l.Rate), int(max(chunk, l.Rate/8))), most: l.Bytes}
	both(
		func() error { return w.pass(ctx, cancel, a, b) },
		func() error { return w.pass(ctx, cancel, b, a) },
	)
	if !stop() {
		<-cut
		return w.passed.Load(), context.Cause(ctx)
	}
	both(a.Close, b.Close)
	return w.passed.Load(), nil
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
	most    int64
	passed  atomic.Int64
}

// pass copies from one end to the other until the first one ends, or the second
// takes no more: then the other direction will soon see why.
func (w *wire) pass(ctx context.Context, cancel context.CancelCauseFunc, from, to End) error {
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if w.passed.Add(int64(n)) > w.most {
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
