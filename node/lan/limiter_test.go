package lan

import (
	"net/netip"
	"testing"
	"time"
)

// One address gets its burst, and others are not worse off for it; of all
// together no more than the total is taken.
func TestLimiter(t *testing.T) {
	l := newLimiter()
	now := time.Now()
	passed := func(from netip.Addr, n int) (ok int) {
		for range n {
			if l.allow(now, from) {
				ok++
			}
		}
		return ok
	}
	if n := passed(netip.MustParseAddr("192.168.1.10"), 1000); n != sourceBurst {
		t.Errorf("one address got %d through at once", n)
	}
	now = now.Add(time.Second)
	if n := passed(netip.MustParseAddr("192.168.1.10"), 1000); n != sourceRate {
		t.Errorf("one address got %d through in the next second", n)
	}
	now = now.Add(time.Minute)
	total := 0
	a := netip.MustParseAddr("10.0.0.1")
	for range 10_000 {
		total += passed(a, 1)
		a = a.Next()
	}
	if total != totalBurst {
		t.Errorf("all together got %d through at once", total)
	}
}
