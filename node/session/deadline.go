package session

import (
	"net"
	"time"
)

// deadline is an instant after which a wait ends. It is a value under the
// session's lock.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set moves the deadline; expire is called when it passes. From then on the
// monotonic clock counts, as with the deadlines of package net: else a wall
// clock that is set back would leave waiters without a timer.
func (d *deadline) set(at time.Time, expire func()) {
	d.stop()
	d.at = at
	if at.IsZero() {
		return
	}
	now := time.Now()
	left := at.Sub(now)
	d.at = now.Add(left)
	if left > 0 {
		d.timer = time.AfterFunc(left, expire)
	}
}

// stop lets the deadline's timer go.
func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (t *Stream) expire() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.wake()
	t.s.room.Broadcast()
}

// SetDeadline sets both deadlines.
func (t *Stream) SetDeadline(at time.Time) error {
	_ = t.SetReadDeadline(at)
	return t.SetWriteDeadline(at)
}

// SetReadDeadline sets the deadline of Read and Verdict.
func (t *Stream) SetReadDeadline(at time.Time) error { return t.limit(&t.readBy, at) }

// SetWriteDeadline sets the deadline of Write. A write that timed out may be
// repeated with the rest.
func (t *Stream) SetWriteDeadline(at time.Time) error { return t.limit(&t.writeBy, at) }

func (t *Stream) limit(d *deadline, at time.Time) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	d.set(at, t.expire)
	t.wake()
	t.s.room.Broadcast()
	return nil
}
