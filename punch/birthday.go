package punch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Birthday punching meets a NAT whose ports are random: that end opens many
// mappings towards the one port of the other, which dials random ports until
// one of them is among those. After N dials at K open ports of the 64512 above
// 1023 the odds are 1 - e^(-K·N/64512).
type Birthday struct {
	// Sockets is how many primed sockets the random end holds; 0 on the other.
	Sockets int
	// Dials is how many random ports the other end dials at most, Rate how
	// many a second; 0 on the random end.
	Dials, Rate int
}

// The parameters that were measured to be good, and the caps on all of it:
// carriers' NATs have quotas on ports, and networks have filters for SYN floods.
const (
	BirthdaySockets    = 256
	BirthdayDials      = 2048
	BirthdayRate       = 1000 // a second
	MaxBirthdayPackets = 4096
	// birthdayOpen is how long a random dial stays open: a SYN and its answer
	// need one round trip, and it must end before the kernel repeats it.
	birthdayOpen = 900 * time.Millisecond
	lowestRandom = 1024
)

func (b Birthday) validate(p Plan) error {
	switch {
	case len(p.Tuples) != 1:
		return errors.New("a birthday plan has one pair of addresses")
	case b.Sockets < 0 || b.Sockets > BirthdaySockets, b.Dials < 0 || b.Dials > BirthdayDials, b.Rate < 0 || b.Rate > BirthdayRate:
		return fmt.Errorf("a birthday plan has at most %d sockets and %d dials at %d a second", BirthdaySockets, BirthdayDials, BirthdayRate)
	case (b.Sockets > 0) == (b.Dials > 0) || (b.Dials > 0) != (b.Rate > 0):
		return errors.New("a birthday plan either holds sockets or dials at a rate")
	}
	return nil
}

func (b Birthday) describe(t Tuple) string {
	if b.Sockets > 0 {
		return fmt.Sprintf("hold %d ports open towards %v", b.Sockets, t.Remote)
	}
	return fmt.Sprintf("dial up to %d random ports of %v from %v at %d a second", b.Dials, t.Remote.Addr(), t.Local, b.Rate)
}

// Odds is the chance that dials random ports hit one of sockets open ones.
func Odds(sockets, dials int) float64 {
	return 1 - math.Exp(-float64(sockets)*float64(dials)/(math.MaxUint16+1-lowestRandom))
}

func (o *opening) birthday(ctx context.Context) {
	if o.plan.Birthday.Sockets > 0 {
		o.holdPorts(ctx)
		return
	}
	o.dialPorts(ctx)
}

// holdPorts keeps many sockets towards the peer's one port, each from a port
// of its own. The SYNs of a primer die on the way; those of others reach the
// peer's NAT, which is harmless where that drops them.
func (o *opening) holdPorts(ctx context.Context) {
	t := o.plan.Tuples[0]
	t.Local = netip.AddrPortFrom(t.Local.Addr(), 0)
	for range o.plan.Birthday.Sockets {
		first := o.begin(t, o.plan.TTL)
		if first.err != nil {
			o.note(first.err)
			return
		}
		again := t
		if local, ok := first.local(); ok {
			again.Local = local // the mapping belongs to this port
		}
		o.all.Go(func() { o.work(ctx, again, first) })
	}
}

// dialPorts dials random ports of the peer at an even pace, each once, and
// holds every socket for a round trip. After a hit no more are dialled, but
// those under way go on: which link counts is not decided here.
func (o *opening) dialPorts(ctx context.Context) {
	b, t := *o.plan.Birthday, o.plan.Tuples[0]
	dialling, hit := context.WithCancel(ctx)
	defer hit()
	begun := time.Now()
	for n, offset := range rand.Perm(math.MaxUint16 + 1 - lowestRandom)[:b.Dials] {
		if !sleep(dialling, time.Until(begun.Add(time.Duration(n)*time.Second/time.Duration(b.Rate)))) {
			return
		}
		to := Tuple{t.Local, netip.AddrPortFrom(t.Remote.Addr(), uint16(lowestRandom+offset))}
		p := o.begin(to, 0)
		if errors.Is(p.err, errSpent) {
			return
		}
		o.all.Go(func() {
			if o.once(ctx, p) {
				hit()
			}
		})
	}
}

// once waits for one random dial, and reports whether it led to the peer.
func (o *opening) once(ctx context.Context, p pending) bool {
	if p.err != nil {
		o.note(p.err)
		return false
	}
	defer o.putBack(p.aside)
	conn, err := waitUntil(ctx, p.tuple, p.started.Add(birthdayOpen))
	if err != nil {
		p.close()
		if ctx.Err() == nil {
			o.note(err)
		}
		return false
	}
	if !o.reserve(acceptedCost + unprovenCost) {
		discard(conn)
		return false
	}
	return o.try(ctx, Connection{conn, false})
}
