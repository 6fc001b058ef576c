package punch

import (
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// Method is how two ends meet.
type Method uint8

const (
	// Timed: both send a SYN at the same instant.
	Timed Method = iota + 1
	// Primed: one end opens its NAT with a SYN that dies on the way, and the
	// other dials when it likes.
	Primed
	// Inward: one end takes strangers in, or all ports of the peer's address,
	// and the other dials.
	Inward
	// ByBirthday: one end holds many ports open, the other dials random ones.
	ByBirthday
)

// String names the method.
func (m Method) String() string {
	switch m {
	case Timed:
		return "timed"
	case Primed:
		return "primed"
	case Inward:
		return "inward"
	case ByBirthday:
		return "birthday"
	}
	return fmt.Sprintf("punch.Method(%d)", uint8(m))
}

// Action is what one end of a meeting does.
type Action struct {
	Probe bool // look its mapping up right before it is used
	Dial  bool // send SYNs to the peer's ports
	Prime bool // send them so that they die behind its own NATs; in a birthday, hold the many ports
	// Last marks an end whose mapping a refused SYN would spoil, so that it
	// starts when the peer's NAT is open already.
	Last bool
}

// Meeting is how the two ends go about it. Each end chooses for itself, and
// knows its own side better (its depth, say); the rules are such that the two
// choices fit. When to start is told by whoever sends the last message.
type Meeting struct {
	Method         Method
	Caller, Callee Action
	Why            string // for people
}

// ImpossibleError says which pair of NATs cannot meet.
type ImpossibleError struct{ Caller, Callee Side }

func (e *ImpossibleError) Error() string {
	switch {
	case e.Caller.NAT == nat.Blocked:
		return "our network lets no TCP out"
	case e.Callee.NAT == nat.Blocked:
		return "the peer's network lets no TCP out"
	}
	return fmt.Sprintf("no port can be predicted: our NAT is %s, the peer's is %s", e.Caller.describe(), e.Callee.describe())
}

// Hint is the one change that would help.
func (e *ImpossibleError) Hint() string {
	if e.Caller.NAT == nat.Blocked {
		return "this network blocks the connection: try another network"
	}
	return "forward a TCP port on either router and name it with --port there, or have a relay carry it with --turn or --relay"
}

// Choose decides how caller and callee meet, from what is known of both. It
// gives an *ImpossibleError where no plan has a chance.
//
// An open end only listens. Two standing ends need one message. A predictable
// end probes first, and then primes, or starts last. A random end can only
// dial, so the other must be open, or filter by address alone.
func Choose(caller, callee Side) (Meeting, error) {
	a, b := caller.ease(), callee.ease()
	m := Meeting{Caller: Action{Dial: true}, Callee: Action{Dial: true}}
	switch {
	case a == easeBlocked || b == easeBlocked:
		return Meeting{}, &ImpossibleError{caller, callee}
	case a == easeRandom || b == easeRandom:
		if !m.inward(caller, callee) {
			return Meeting{}, &ImpossibleError{caller, callee}
		}
		return m, nil
	case b == easeOpen:
		m.Method, m.Callee.Dial, m.Why = Inward, false, "the peer takes strangers in"
		return m, nil
	case a == easeOpen:
		m.Method, m.Caller.Dial, m.Why = Inward, false, "we take strangers in"
		return m, nil
	}
	m.Caller.Probe = a == easePredictable || !caller.Standing
	m.Callee.Probe = b == easePredictable || !callee.Standing
	m.Why = "both mappings stand"
	switch {
	case a == easePredictable && b == easePredictable:
		m.Why = "both mappings are predicted"
	case a == easePredictable:
		m.Why = "our mapping is predicted"
	case b == easePredictable:
		m.Why = "the peer's mapping is predicted"
	}
	m.prime(caller, callee)
	return m, nil
}

// prime chooses the primer where one can be had, and otherwise who starts
// last. The end whose mapping is predicted fixes it by priming right after its
// probe; of two such ends the callee, whose probe is the fresher one.
func (m *Meeting) prime(caller, callee Side) {
	a, b := caller.ease(), callee.ease()
	m.Method = Primed
	switch {
	case b == easePredictable && callee.Depth > 0:
		m.Callee.Prime = true
	case a == easePredictable && b != easePredictable && caller.Depth > 0:
		m.Caller.Prime = true
	case a == easeStanding && b == easeStanding && caller.Depth > 0 && !(caller.Clocked && callee.Clocked):
		// Timed is one way faster, and a miss on NATs that answer RST is met
		// by trying again; but without any idea of the instant it may take many.
		m.Caller.Prime = true
	default:
		m.Method = Timed
		m.Callee.Last = b == easePredictable
		m.Caller.Last = a == easePredictable && !m.Callee.Last
	}
}

// inward is for pairs in which one end's port cannot be known: that end dials,
// and the other has only to be open to its address. Where the other filters by
// port too, but its own port is known, the odds of a birthday remain.
func (m *Meeting) inward(caller, callee Side) bool {
	m.Method = Inward
	random, other, side := &m.Caller, &m.Callee, callee
	m.Why = "our ports are random, and the peer lets our address in"
	if caller.ease() != easeRandom {
		random, other, side = other, random, caller
		m.Why = "the peer's ports are random, and we let its address in"
	}
	other.Probe = !side.Standing
	switch side.NAT {
	case nat.Open, nat.FullCone:
		other.Dial = false
	case nat.Restricted:
		// One packet to the address opens the filter for all of its ports.
		random.Last, other.Prime = true, side.Depth > 0
	case nat.PortRestricted, nat.SymmetricFirewall:
		m.Method, random.Prime = ByBirthday, true
		m.Why = "one side's ports are random"
	default:
		return false
	}
	return true
}

// lastMargin is how much longer than the way of a packet the last end waits,
// so that the first end's SYN has certainly passed its own NAT.
const lastMargin = 10 * time.Millisecond

// Wait is how long the end that does a waits before its first SYN. oneWay is
// the delay between the two through the broker; sent is set where this end
// sent the last message, and not where it received it. The direct path is
// seldom longer than the one through a broker, so oneWay bounds both.
func (m Meeting) Wait(a Action, oneWay time.Duration, sent bool) time.Duration {
	switch {
	case a.Prime, m.Method == Inward && !a.Last:
		return 0
	case m.Method == Inward && !sent:
		return 0 // the other end opened its NAT when it sent the message, and that took longer
	case m.Method == Inward:
		// It opens on receipt. The way of our SYN is a margin besides.
		return oneWay + oneWay/4 + lastMargin
	}
	var wait time.Duration
	if sent {
		wait = oneWay
	}
	if (m.Method == Primed || m.Method == ByBirthday) && !sent {
		return 0
	}
	if a.Last {
		wait += oneWay + lastMargin
	}
	return wait
}
