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
