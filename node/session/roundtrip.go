package session

import "time"

// roundTrip is how long the path of a link takes there and back, at its emptiest.
// PINGs tell, and frames by their ACKs. Where either may have come behind what was
// queued, it is a bound from above and no more; and an ACK may be late (ackDelay). It
// is a value, a part of the pulse.
type roundTrip struct {
	is    time.Duration // 0 before it was measured
	frame uint64        // that is being timed
	trial trial         // zero while none is
}

// trial is something on its way that will be answered.
type trial struct {
	went  time.Time
	alone bool   // no frame waited for its ACK
	came  uint64 // how many frames had come
}

// within takes a measurement: the round trip is between two bounds, and exact where
// they are one. It falls at once and rises slowly.
func (r *roundTrip) within(least, most time.Duration) {
	switch {
	case r.is == 0, r.is > most:
		r.is = most
	case r.is < least:
		r.is += (least - r.is) / 4
	}
}

// answered ends a trial, whose answer may be late by as much. If frames came
// meanwhile, the answer may have waited behind others.
func (r *roundTrip) answered(t trial, now time.Time, came uint64, late time.Duration) {
	took := now.Sub(t.went)
	if t.alone && came == t.came {
		r.within(took-late, took)
	} else {
		r.within(0, took)
	}
}

// sending notes that a frame goes for the first time ever (Karn's rule: the ACK of
// one that is sent twice may be that of the first time). It is timed, unless another
// is.
func (r *roundTrip) sending(frame uint64, t trial) {
	if r.trial.went.IsZero() {
		r.frame, r.trial = frame, t
	}
}

// acknowledged notes that the frames below a number have arrived, and how many have
// come.
func (r *roundTrip) acknowledged(now time.Time, below, came uint64) {
	if !r.trial.went.IsZero() && below > r.frame {
		r.answered(r.trial, now, came, ackDelay)
		r.trial = trial{}
	}
}
