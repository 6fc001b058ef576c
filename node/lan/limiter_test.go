package lan

import (
	"crypto/sha256"
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

func TestSeen(t *testing.T) {
	var s seen
	hash := func(n int) [32]byte { return sha256.Sum256([]byte{byte(n), byte(n >> 8)}) }
	for n := range maxSeen {
		if !s.add(hash(n)) {
			t.Fatalf("%d is not new", n)
		}
	}
	if s.add(hash(0)) || !s.has(hash(maxSeen-1)) || s.has(hash(maxSeen)) {
		t.Error("what was seen is not known")
	}
	s.add(hash(maxSeen))
	if s.has(hash(0)) || !s.has(hash(1)) || len(s.m) != maxSeen || len(s.ring) != maxSeen {
		t.Errorf("the oldest did not make room: %d remembered", len(s.m))
	}
}
