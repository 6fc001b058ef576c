package punch

import (
	"context"
	"errors"
	"net"
	"time"
)

// pending is one connect under way, or why it could not be begun.
type pending struct {
	*tuple
	err     error
	started time.Time
	ttl     int
	aside   int // packets set aside for it
}

// begin pays for a SYN and sends it. What a host costs that accepts is set
// aside until the connect has ended.
func (o *opening) begin(t Tuple, ttl int) pending {
	p := pending{started: time.Now(), ttl: ttl}
	if ttl == 0 {
		p.aside = acceptedCost // nobody can accept what dies on the way
	}
	if !o.spend(t.Remote, 1, p.aside) {
		p.err = errSpent
		return p
	}
	p.tuple, p.err = startConnect(t.Local, t.Remote, ttl, o.plan.Device)
	if p.err != nil {
		o.putBack(p.aside)
	}
	return p
}

// work keeps one connect pending on a four-tuple, p being the first.
func (o *opening) work(ctx context.Context, t Tuple, p pending) {
	begun := p.started
	for {
		conn, err := o.finish(ctx, p)
		pause := time.Until(p.started.Add(retryGap))
		switch {
		case err == nil:
			if !o.reserve(acceptedCost + unprovenCost) {
				_ = o.reserve(acceptedCost)
				discard(conn)
				return
			}
			if o.try(ctx, Connection{conn, false}) {
				return
			}
		case errors.Is(err, errSpent) || ctx.Err() != nil:
			return
		case errors.Is(err, errReprime):
		case held(err):
			pause = heldGap
		case p.ttl > 0 && !deaf(t.Remote) && refused(err):
			// The SYN has died where it was to, and has opened our side; the
			// listener takes what comes now.
			pause = time.Until(p.started.Add(reprime))
		default:
			o.note(err)
			if !refused(err) && !errors.Is(err, errSilent) {
				return
			}
		}
		if !sleep(ctx, pause) {
			return
		}
		ttl := p.ttl
		if ttl > 0 && o.plan.Fallback > 0 && time.Since(begun) >= o.plan.Fallback {
			ttl = 0
		}
		p = o.begin(t, ttl)
	}
}

var (
	errReprime = errors.New("the primer renews its SYN")
	errSilent  = errors.New("nothing answered")
)

// finish waits for what was begun. It pays for each of the kernel's
// retransmissions before it can leave, and gives up where no more is allowed.
func (o *opening) finish(ctx context.Context, p pending) (net.Conn, error) {
	if p.err != nil {
		return nil, p.err
	}
	defer o.putBack(p.aside)
	for paid := 1; ; paid++ {
		limit := p.started.Add(lasts(paid))
		if p.ttl > 0 {
			limit = p.started.Add(reprime)
		}
		conn, err := waitUntil(ctx, p.tuple, limit)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			p.close()
			return nil, err
		case p.ttl > 0:
			return o.swap(ctx, p.tuple)
		case paid == maxSYNs || !o.spend(p.remote, 1, 0):
			p.close()
			return nil, errSilent
		}
	}
}

// swap ends a primer's socket before the kernel repeats its SYN with full TTL,
// unless the peer's SYN has just come: then the handshake may end.
func (o *opening) swap(ctx context.Context, t *tuple) (net.Conn, error) {
	if !t.opening() {
		if conn, err := waitUntil(ctx, t, time.Now().Add(reprime)); err == nil {
			return conn, nil
		}
	}
	t.close()
	return nil, errReprime
}

func waitUntil(ctx context.Context, t *tuple, limit time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	return t.wait(ctx)
}

// lasts is how long a connect stays pending before the kernel sends SYN number
// n+1: Linux repeats the first ones every second since 6.5
// (tcp_syn_linear_timeouts), and after 1, 3, 7 s before that (RFC 6298 §5.5).
func lasts(n int) time.Duration { return time.Duration(n)*time.Second - 50*time.Millisecond }

// sleep waits for d or until ctx ends, and reports whether ctx still lasts.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
