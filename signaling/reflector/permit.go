package reflector

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Permit is what may be sent for one message. The dialer asks it before every
// connect(), and does without where it says no. It is safe for use by several
// goroutines.
//
// One connect() that nobody answers sends a SYN at once and more as time passes.
// Linux before 6.5 repeats it after 1, 3, 7, 15, 31 and 63 s (RFC 6298 §5.5);
// since then, tcp_syn_linear_timeouts makes it 1, 2, 3, 4, 5, 7, 11, 19, 35 and
// 67 s. The permit counts by the latter, of which there are never fewer:
//
//	lasts less than   1   2   3   4   5   7   11   19   35   67 s
//	costs (packets)   1   2   3   4   5   6    7    8    9   10
//
// The 10 packets of a message are, for instance, 5 destinations for 1.9 s each
// (5 × 2); or 2 destinations for 2.9 s and 4 retries of less than a second on
// NATs that answer RST (2 × 3 + 4 × 1); or a primer that primes one destination
// anew every 800 ms, for 8 s (10 × 1).
//
// A destination that does answer costs more: the ACK, the token, the end. Those
// are not counted. They go to a host that has agreed to a connection, one for
// each that it accepted, as from any client; an attempt ends at the first.
type Permit struct {
	Dest     []netip.AddrPort // what may be dialled, in the order asked for, each once
	Refused  []Refusal        // the rest, for the log; never told to the sender
	Birthday bool             // whether random ports of the hosts in Dest may be dialled
	Deadline time.Time        // no packet is sent after it; by the clock given to Vet

	budget  *Budget
	metered bool
	sender  address.Key

	mu   sync.Mutex
	left int
}

// Left is how many packets the message may still cost; -1 where they are not
// counted.
func (p *Permit) Left() int {
	if !p.metered {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// Spend takes n packets to d, and reports whether they may be sent. It says no
// after the deadline, to destinations that are not in Dest, and where the
// message, the destination or the total has run dry; a no costs nothing. Where
// Birthday is set, every port from 1024 of the hosts in Dest may be spent on, and
// has a budget of its own.
func (p *Permit) Spend(now time.Time, d netip.AddrPort, n int) bool {
	named := slices.Contains(p.Dest, d)
	if n < 1 || now.After(p.Deadline) || !named && !p.random(d) {
		return false
	}
	switch {
	case !p.metered:
		return true
	case !named:
		return p.budget.random.AllowN(now, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > p.left || !p.budget.knows(now, p.sender, d.Addr()) && !p.budget.spend(now, d.Addr(), n) {
		return false
	}
	p.left -= n
	return true
}

// Connect spends what one connect() to d costs that is given up after lasts. It
// gives how long it may last: the same, or less where fewer packets or less
// time are left; 0 is a no.
func (p *Permit) Connect(now time.Time, d netip.AddrPort, lasts time.Duration) time.Duration {
	lasts = min(lasts, p.Deadline.Sub(now))
	for n := SYNs(lasts); n > 0; n-- {
		if p.Spend(now, d, n) {
			return min(lasts, Lasts(n))
		}
	}
	return 0
}

// random reports whether d may be dialled though nobody named its port.
func (p *Permit) random(d netip.AddrPort) bool {
	return p.Birthday && d.Port() >= 1024 && slices.ContainsFunc(p.Dest, func(o netip.AddrPort) bool {
		return o.Addr() == d.Addr()
	})
}

// synTimes is when a connect() that nobody answers sends its SYNs.
var synTimes = [...]time.Duration{
	0, 1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second,
	7 * time.Second, 11 * time.Second, 19 * time.Second, 35 * time.Second, 67 * time.Second,
}

// SYNs is how many packets a connect() sends that nobody answers and that is
// given up after lasts; 0 where that is no time.
func SYNs(lasts time.Duration) int {
	n := 0
	for n < len(synTimes) && synTimes[n] < lasts+coarse && lasts > 0 {
		n++
	}
	return n
}

// Lasts is how long a connect() may last so as to send no more than n packets;
// at most 66.95 s.
func Lasts(n int) time.Duration {
	if n < 1 {
		return 0
	}
	return synTimes[min(n, len(synTimes)-1)] - coarse
}

// coarse is how much sooner than due a SYN is taken to leave: neither the
// kernel's timers nor ours are exact.
const coarse = 50 * time.Millisecond
