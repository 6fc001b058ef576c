package lan

import (
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// What is decrypted at most, of one address and of all, a second and at once.
const (
	sourceRate, sourceBurst = 20, 50
	totalRate, totalBurst   = 100, 200
)

// limiter bounds the work that queries make. It is of one size, whoever sends:
// addresses that fall into one slot share it.
type limiter struct {
	seed  maphash.Seed
	slots [128]*rate.Limiter
	total *rate.Limiter
}

func newLimiter() *limiter {
	l := &limiter{seed: maphash.MakeSeed(), total: rate.NewLimiter(totalRate, totalBurst)}
	for k := range l.slots {
		l.slots[k] = rate.NewLimiter(sourceRate, sourceBurst)
	}
	return l
}

func (l *limiter) allow(now time.Time, from netip.Addr) bool {
	slot := maphash.Comparable(l.seed, from) % uint64(len(l.slots))
	return l.slots[slot].AllowN(now, 1) && l.total.AllowN(now, 1)
}

// maxSeen is how many queries are remembered. Whoever has more sent, so that
// an old one is forgotten, can repeat that one only in the name of its address.
const maxSeen = 1024

// seen remembers the latest queries.
type seen struct {
	m    map[[32]byte]bool
	ring [][32]byte
	next int
}

// add reports whether h is new.
func (s *seen) add(h [32]byte) bool {
	if s.m[h] {
		return false
	}
	if s.m == nil {
		s.m = make(map[[32]byte]bool)
	}
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, h)
	} else {
		delete(s.m, s.ring[s.next])
		s.ring[s.next] = h
		s.next = (s.next + 1) % maxSeen
	}
	s.m[h] = true
	return true
}

// has reports whether h was added.
func (s *seen) has(h [32]byte) bool { return s.m[h] }
