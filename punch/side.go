// Package punch opens TCP connections through two NATs at once. It first
// decides, as functions of values, who sends a SYN where and when (Choose,
// Meeting); then a thin shell carries that out with real sockets (Open).
//
// The rules come from measurements of real kernel stacks behind simulated and
// kernel NATs; docs/punching.md tells them.
package punch

import (
	"github.com/sallyport-net/sallyport/nat"
)

// Side is what the planner knows of one end.
type Side struct {
	NAT   nat.Type
	Delta nat.Delta
	// Standing is set where the mapping in the address is in use now and does
	// not depend on who looks: the end needs no fresh probe.
	Standing bool
	// Clocked is set where this end's round trip to the broker is known, so
	// that an instant can be agreed on.
	Clocked bool
	// Depth is how many NATs stand before this end, 0 when unknown. An end
	// that knows it can prime: send a SYN that dies behind its own last NAT.
	Depth int
}

// behaviour of one end towards a punch, in the order of how easy it is.
type ease uint8

const (
	easeOpen        ease = iota // strangers get in: a listener is enough
	easeStanding                // one external port, whoever is the peer
	easePredictable             // a new external port for each peer, which can be computed
	easeRandom                  // a new external port that cannot be known
	easeBlocked                 // no TCP at all
)

func (s Side) ease() ease {
	switch s.NAT {
	case nat.Open, nat.FullCone:
		return easeOpen
	case nat.SymmetricFirewall, nat.Restricted, nat.PortRestricted:
		return easeStanding
	case nat.Symmetric:
		if s.Delta.Predictable() {
			return easePredictable
		}
		return easeRandom
	case nat.Blocked:
		return easeBlocked
	}
	// Nothing is known: most NATs in the field map independently of the
	// endpoint, so that is the guess that loses least.
	return easeStanding
}

// describe names the end for people.
func (s Side) describe() string {
	if s.NAT == nat.Symmetric {
		return s.NAT.String() + " (" + s.Delta.String() + ")"
	}
	return s.NAT.String()
}
