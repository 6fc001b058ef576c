package circuit

import (
	"time"

	"github.com/sallyport-net/sallyport/signaling"
)

// Limits bound what a node relays. Each zero means the default.
type Limits struct {
	Circuits int           // in all; 0 means 64
	PerPeer  int           // of one peer; 0 means 8
	Rate     int64         // bytes a second of one circuit, both ways together; 0 means 4 MiB
	Bytes    int64         // of one circuit, both ways together; 0 means 16 GiB
	Age      time.Duration // of one circuit; 0 means 24 h
	// Idle is how long nothing may pass through a circuit, since nothing comes or
	// since nothing is taken; 0 means 2 min. A session that lives says something
	// every 20 s.
	Idle time.Duration
}

// WithDefaults fills in what is zero, or less.
func (l Limits) WithDefaults() Limits {
	if l.Circuits <= 0 {
		l.Circuits = 64
	}
	if l.PerPeer <= 0 {
		l.PerPeer = 8
	}
	if l.Rate <= 0 {
		l.Rate = 4 << 20
	}
	if l.Bytes <= 0 {
		l.Bytes = 16 << 30
	}
	if l.Age <= 0 {
		l.Age = 24 * time.Hour
	}
	if l.Idle <= 0 {
		l.Idle = 2 * time.Minute
	}
	return l
}

// Wish is what a caller wants, and what the relaying node knows of it.
type Wish struct {
	Caller  signaling.Level // how far the node relays for the caller
	Callee  signaling.Level // and for the callee
	Invited bool            // a callee for which it relays has announced the caller
	Loop    bool            // the callee is the caller or the node itself, or the caller comes through a relay
	Held    int             // circuits that there are
	OfPeer  int             // of them, those of the peer whose circuit this would be
	Guest   bool            // that peer is let in only as everyone is
	Linked  bool            // the node has a session with the callee
	Located bool            // the caller has said where the callee may be
}

// Decision is what becomes of a wish.
type Decision byte

const (
	Turn  Decision = iota // refuse: no word about the callee to a stranger
	Defer                 // refuse for now: the circuits are used up
	Lack                  // there is no way to the callee
	Join                  // go on over the session with the callee
	Call                  // call the callee first
)

// Window is how much the node keeps for one end of a circuit that takes nothing:
// half a second's worth.
func (l Limits) Window() int { return int(min(l.Rate/2, 8<<20)) }

// guests is how many circuits those may have together who are let in only as
// everyone is: keys are free, and a fourth is left to those whom the node knows
// by name.
func (l Limits) guests() int { return l.Circuits - l.Circuits/4 }

// Decide says what becomes of a wish. Only for a caller whom the node knows by
// name it calls anybody: on everybody's word it would be a reflector.
func (l Limits) Decide(w Wish) Decision {
	switch {
	case w.Caller == signaling.Stranger && !w.Invited:
		return Turn
	case w.Loop:
		return Lack
	case w.Held >= l.Circuits || w.OfPeer >= l.PerPeer || w.Guest && w.Held >= l.guests():
		return Defer
	case w.Linked:
		return Join
	case w.Located && w.Caller == signaling.Listed:
		return Call
	}
	return Lack
}

// Status is what a caller is told.
func (d Decision) Status() Status {
	switch d {
	case Turn:
		return Refused
	case Defer:
		return Busy
	case Lack:
		return Absent
	}
	return Joined
}
