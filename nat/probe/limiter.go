package probe

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// mostSources bounds the memory of a limiter: twice as many buckets of about
// 200 bytes.
const mostSources = 1 << 15

// limiter bounds what sources may ask over UDP, where a source may be forged:
// the victim then gets no more than this. When its table is full, the older
// half is forgotten, and the bound for all together holds still.
type limiter struct {
	mu       sync.Mutex
	rate     float64
	all      *rate.Limiter
	now, old map[netip.Prefix]*bucket
}

type bucket struct{ any, change *rate.Limiter }

func newLimiter(perSource, total float64) *limiter {
	return &limiter{
		rate: perSource, all: newBucket(total),
		now: map[netip.Prefix]*bucket{}, old: map[netip.Prefix]*bucket{},
	}
}

func newBucket(r float64) *rate.Limiter { return rate.NewLimiter(rate.Limit(r), max(1, int(4*r))) }

// allow reports whether a request of this source may be answered at t.
func (l *limiter) allow(ip netip.Addr, change bool, t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	src := source(ip)
	b := l.now[src]
	if b == nil {
		if b = l.old[src]; b == nil {
			b = &bucket{newBucket(l.rate), newBucket(l.rate / 3)}
		}
		if len(l.now) >= mostSources {
			l.now, l.old = map[netip.Prefix]*bucket{}, l.now
		}
		l.now[src] = b
	}
	if !b.any.AllowN(t, 1) || change && !b.change.AllowN(t, 1) {
		return false
	}
	return l.all.AllowN(t, 1)
}

// source is what is counted as one: an IPv4 address, or an IPv6 /64, which is
// what one subscriber has.
func source(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
