package punch

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Limits of one punch.
const (
	// MaxTuples is how many four-tuples are dialled at most.
	MaxTuples = 16
	// MaxPackets is how many SYNs one punch sends at most, the kernel's
	// retransmissions included.
	MaxPackets = 400
	// MaxWait bounds the wait before the first SYN.
	MaxWait = 10 * time.Second
)

// Tuple is one of our endpoints and one of the peer's.
type Tuple struct{ Local, Remote netip.AddrPort }

// Plan is one end's part of a punch, ready to be carried out by Open.
type Plan struct {
	// Tuples are dialled, likeliest first; the first SYNs leave in this order,
	// so that the k-th one gets the k-th predicted port. None: only listen.
	Tuples []Tuple
	// Listen are endpoints of ours on which nobody else listens.
	Listen []netip.AddrPort
	Wait   time.Duration // before the first SYN
	// Device is the interface that everything leaves by; empty means by route.
	Device string
	TTL    int // of a primer's SYNs; 0 means that they go all the way
	// Fallback is how long a primer waits for the peer before it dials with
	// full TTL after all; 0 means never.
	Fallback time.Duration
	// Birthday, where it is set, replaces the dialling of Tuples; the first
	// of these tells the addresses.
	Birthday *Birthday
	Packets  int // allowed in all; 0 means MaxPackets
	// Allow is asked before every SYN; nil means yes. It is how a budget that
	// several punches share takes part.
	Allow func(remote netip.AddrPort, packets int) bool
	// Begun, where it is set, is called once the first SYN of every tuple has
	// left, or cannot leave any more.
	Begun func()
	Why   string
}

// Validate refuses a plan that no end may carry out.
func (p Plan) Validate() error {
	most := MaxPackets
	if p.Birthday != nil {
		if err := p.Birthday.validate(p); err != nil {
			return err
		}
		most = MaxBirthdayPackets
	}
	switch {
	case len(p.Tuples) == 0 && len(p.Listen) == 0:
		return errors.New("a plan dials or listens")
	case len(p.Tuples) > MaxTuples:
		return fmt.Errorf("a plan dials at most %d ports, not %d", MaxTuples, len(p.Tuples))
	case p.Wait < 0 || p.Wait > MaxWait:
		return fmt.Errorf("a plan waits at most %v, not %v", MaxWait, p.Wait)
	case p.Packets < 0 || p.Packets > most:
		return fmt.Errorf("a plan sends at most %d packets, not %d", most, p.Packets)
	case p.TTL < 0 || p.TTL > 64:
		return fmt.Errorf("a primer's TTL is 1 to 64, not %d", p.TTL)
	}
	for _, t := range p.Tuples {
		if !t.Remote.IsValid() || t.Remote.Port() == 0 || !t.Local.IsValid() || t.Remote.Addr().Is4() != t.Local.Addr().Is4() {
			return fmt.Errorf("%v cannot be dialled from %v", t.Remote, t.Local)
		}
	}
	return nil
}

// String prints the plan as a line for people.
func (p Plan) String() string {
	var b strings.Builder
	switch {
	case len(p.Tuples) == 0:
		fmt.Fprintf(&b, "listen on %v", p.Listen[0])
	case p.Birthday != nil:
		b.WriteString(p.Birthday.describe(p.Tuples[0]))
	case p.TTL > 0:
		fmt.Fprintf(&b, "prime %v from %v with TTL %d", p.Tuples[0].Remote, p.Tuples[0].Local, p.TTL)
	default:
		fmt.Fprintf(&b, "dial %v from %v", p.Tuples[0].Remote, p.Tuples[0].Local)
	}
	if n := len(p.Tuples); n > 1 {
		fmt.Fprintf(&b, " and %d more", n-1)
	}
	if p.Wait > 0 {
		fmt.Fprintf(&b, " after %v", p.Wait.Round(time.Millisecond))
	}
	if p.Why != "" {
		fmt.Fprintf(&b, " (%s)", p.Why)
	}
	return b.String()
}
