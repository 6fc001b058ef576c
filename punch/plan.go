package punch

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Limits of one punch.
const (
	// MaxPorts is how many predicted four-tuples are dialled at most.
	MaxPorts = 16
	// MaxPackets is how many SYNs one punch sends at most, the kernel's
	// retransmissions included.
	MaxPackets = 400
	// MaxWait bounds the wait before the first SYN.
	MaxWait = 10 * time.Second
)

// Plan is one end's part of a punch, ready to be carried out by Open.
type Plan struct {
	Local netip.AddrPort   // the socket address that all SYNs leave from
	Dial  []netip.AddrPort // the peer's ports, likeliest first; empty: only listen
	// Listen is set where nobody else listens on Local's port.
	Listen bool
	Wait   time.Duration // before the first SYN
	TTL    int           // of a primer's SYNs; 0 means that they go all the way
	// Fallback is how long a primer waits for the peer before it dials with
	// full TTL after all; 0 means never.
	Fallback time.Duration
	Packets  int // allowed in all; 0 means MaxPackets
	// Allow is asked before every SYN; nil means yes. It is how a budget that
	// several punches share takes part.
	Allow func(remote netip.AddrPort, packets int) bool
	Why   string
}

// Validate refuses a plan that no end may carry out.
func (p Plan) Validate() error {
	switch {
	case !p.Local.Addr().IsValid():
		return fmt.Errorf("a plan needs a local address")
	case len(p.Dial) > MaxPorts:
		return fmt.Errorf("a plan dials at most %d ports, not %d", MaxPorts, len(p.Dial))
	case p.Wait < 0 || p.Wait > MaxWait:
		return fmt.Errorf("a plan waits at most %v, not %v", MaxWait, p.Wait)
	case p.Packets < 0 || p.Packets > MaxPackets:
		return fmt.Errorf("a plan sends at most %d packets, not %d", MaxPackets, p.Packets)
	case p.TTL < 0 || p.TTL > 64:
		return fmt.Errorf("a primer's TTL is 1 to 64, not %d", p.TTL)
	}
	for _, d := range p.Dial {
		if !d.IsValid() || d.Port() == 0 || d.Addr().Is4() != p.Local.Addr().Is4() {
			return fmt.Errorf("%v cannot be dialled from %v", d, p.Local)
		}
	}
	return nil
}

// String prints the plan as a line for people.
func (p Plan) String() string {
	var b strings.Builder
	switch {
	case len(p.Dial) == 0:
		fmt.Fprintf(&b, "listen on %v", p.Local)
	case p.TTL > 0:
		fmt.Fprintf(&b, "prime %v from %v with TTL %d", p.Dial[0], p.Local, p.TTL)
	default:
		fmt.Fprintf(&b, "dial %v from %v", p.Dial[0], p.Local)
	}
	if n := len(p.Dial); n > 1 {
		fmt.Fprintf(&b, " and %d more ports", n-1)
	}
	if p.Wait > 0 {
		fmt.Fprintf(&b, " after %v", p.Wait.Round(time.Millisecond))
	}
	if p.Why != "" {
		fmt.Fprintf(&b, " (%s)", p.Why)
	}
	return b.String()
}
