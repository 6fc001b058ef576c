package signaling

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

var noon = time.UnixMilli(1_800_000_000_000)

func numbered(n int) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:], uint64(n)+1)
	return id
}

// dated is a message of which a guard looks at the id, the date and the ttl.
func dated(n int, sent time.Time, ttl time.Duration) Message {
	return Message{ID: numbered(n), Sent: sent.UnixMilli(), TTL: ttl.Milliseconds()}
}

var roomy = Limits{IDs: 1000, PerSender: 1000, Rate: 1000, Burst: 1000}

func TestGuardAge(t *testing.T) {
	const ttl = 30 * time.Second
	cases := []struct {
		name string
		sent time.Duration // after now
		want Verdict
	}{
		{"now", 0, Fresh},
		{"10 min ahead", 10 * time.Minute, Fresh},
		{"10 min and 1 ms ahead", 10*time.Minute + time.Millisecond, Late},
		{"11 min ahead", 11 * time.Minute, Late},
		{"a ttl old, by a clock 10 min behind", -10*time.Minute - ttl, Fresh},
		{"1 ms older", -10*time.Minute - ttl - time.Millisecond, Late},
		{"11 min behind", -11 * time.Minute, Late},
		{"of another century", -100 * 365 * 24 * time.Hour, Late},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := NewGuard(roomy)
			if got := g.Take(noon, testKey(t, 1).Public(), dated(1, noon.Add(c.sent), ttl)); got != c.want {
				t.Errorf("verdict %v, want %v", got, c.want)
			}
		})
	}
}

// TestGuardNeverTwice replays everything all the time while the clock runs:
// nothing passes twice, and after an hour nothing is remembered.
func TestGuardNeverTwice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	limits := map[string]Limits{
		"roomy":    roomy,
		"narrow":   {IDs: 40, PerSender: 16, Rate: 1000, Burst: 1000},
		"narrower": {IDs: 3, PerSender: 2, Rate: 1000, Burst: 1000},
	}
	for name, l := range limits {
		t.Run(name, func(t *testing.T) {
			g := NewGuard(l)
			type sent struct {
				key address.Key
				m   Message
			}
			var all []sent
			passed := map[question]int{}
			now := noon
			for n := range 250 {
				now = now.Add(time.Duration(random.Int64N(int64(6 * time.Second))))
				skew := time.Duration(random.Int64N(int64(20*time.Minute))) - 10*time.Minute
				ttl := time.Duration(1+random.Int64N(60_000)) * time.Millisecond
				all = append(all, sent{testKey(t, byte(1+random.IntN(5))).Public(), dated(n, now.Add(skew), ttl)})
				for _, s := range all {
					if g.Take(now, s.key, s.m) == Fresh {
						passed[question{s.key, s.m.ID}]++
					}
				}
				if g.Len() > l.IDs {
					t.Fatalf("%d ids remembered, at most %d", g.Len(), l.IDs)
				}
			}
			for range 20 {
				now = now.Add(5 * time.Minute)
				for _, s := range all {
					if g.Take(now, s.key, s.m) == Fresh {
						passed[question{s.key, s.m.ID}]++
					}
				}
			}
			for q, times := range passed {
				if times != 1 {
					t.Errorf("message %v passed %d times", q.id, times)
				}
			}
			if len(passed) == 0 || name == "roomy" && len(passed) != len(all) {
				t.Errorf("%d of %d passed at all", len(passed), len(all))
			}
			if g.Len() != 0 || len(g.senders) != 0 {
				t.Errorf("%d ids of %d senders are still remembered", g.Len(), len(g.senders))
			}
		})
	}
}

// TestGuardFlood shows that one sender pays for its own flood: the ids of others
// stay, and others still get in.
func TestGuardFlood(t *testing.T) {
	g := NewGuard(Limits{IDs: 100, PerSender: 80, Rate: 1e6, Burst: 1e6})
	quiet, loud := testKey(t, 1).Public(), testKey(t, 2).Public()
	for n := range 30 {
		g.Take(noon, quiet, dated(n, noon, time.Minute))
	}
	for n := range 5000 {
		g.Take(noon, loud, dated(n, noon.Add(10*time.Minute), time.Minute))
	}
	for n := range 30 {
		if got := g.Take(noon, quiet, dated(n, noon, time.Minute)); got != Duplicate {
			t.Fatalf("replay %d of the quiet one: %v, want %v", n, got, Duplicate)
		}
	}
	if got := g.Take(noon, quiet, dated(1000, noon, time.Minute)); got != Fresh {
		t.Errorf("a new message of the quiet one: %v, want %v", got, Fresh)
	}
	if got := g.Take(noon, loud, dated(0, noon.Add(10*time.Minute), time.Minute)); got != Late {
		t.Errorf("a replay of what was forgotten: %v, want %v", got, Late)
	}
}

// TestGuardOverflow fills the memory with one message each of many senders: the
// watermark rises, and no replay gets through.
func TestGuardOverflow(t *testing.T) {
	const room, extra = 50, 20
	g := NewGuard(Limits{IDs: room, PerSender: 10, Rate: 10, Burst: 10})
	keys := make([]address.Key, room+extra)
	take := func(n int) Verdict {
		return g.Take(noon, keys[n], dated(n, noon.Add(time.Duration(n)*time.Millisecond), time.Minute))
	}
	for n := range keys {
		keys[n] = testKey(t, byte(n+1)).Public()
		if got := take(n); got != Fresh {
			t.Fatalf("message %d: %v", n, got)
		}
	}
	if g.Len() != room {
		t.Errorf("%d ids, want %d", g.Len(), room)
	}
	for n := range keys {
		want := Duplicate
		if n < extra {
			want = Late
		}
		if got := take(n); got != want {
			t.Errorf("replay %d: %v, want %v", n, got, want)
		}
	}
	if got := g.Take(noon, testKey(t, 200).Public(), dated(999, noon, time.Minute)); got != Late {
		t.Errorf("a new message from below the watermark: %v, want %v", got, Late)
	}
}

// TestGuardForgetsNoWatermark fills the memory with others after a sender's own
// watermark rose: what that one had forgotten stays Late all the same.
func TestGuardForgetsNoWatermark(t *testing.T) {
	g := NewGuard(Limits{IDs: 4, PerSender: 2, Rate: 10, Burst: 10})
	a := testKey(t, 1).Public()
	ahead := dated(0, noon.Add(5*time.Minute), time.Minute)
	for n, m := range []Message{ahead, dated(1, noon, time.Minute), dated(2, noon, time.Minute)} {
		if got := g.Take(noon, a, m); n < 2 && got != Fresh {
			t.Fatalf("message %d: %v", n, got)
		}
	}
	for n := range 4 { // pushes out the two ids of a, and nobody else's
		g.Take(noon, testKey(t, byte(10+n)).Public(), dated(10+n, noon.Add(6*time.Minute), time.Minute))
	}
	if got := g.Take(noon, a, ahead); got != Late {
		t.Errorf("the replay is %v, want %v", got, Late)
	}
}

func TestGuardBudgets(t *testing.T) {
	g := NewGuard(Limits{IDs: 1000, PerSender: 1000, Rate: 1, Burst: 3, TotalRate: 1, TotalBurst: 5})
	a, b := testKey(t, 1).Public(), testKey(t, 2).Public()
	var got []Verdict
	for n := range 4 {
		got = append(got, g.Take(noon, a, dated(n, noon, time.Minute)))
	}
	for n := range 3 {
		got = append(got, g.Take(noon, b, dated(n, noon, time.Minute)))
	}
	want := []Verdict{Fresh, Fresh, Fresh, Busy, Fresh, Fresh, Busy}
	for n := range want {
		if got[n] != want[n] {
			t.Fatalf("verdicts %v, want %v", got, want)
		}
	}
	// What was turned away left no trace, and may come again.
	if got := g.Take(noon.Add(2*time.Second), a, dated(3, noon, time.Minute)); got != Fresh {
		t.Errorf("the fourth of a, two seconds later: %v, want %v", got, Fresh)
	}
}

// TestGuardLimits checks the arithmetic that keeps open senders from ever
// raising the watermark of all.
func TestGuardLimits(t *testing.T) {
	l := openLimits
	if most := float64(l.TotalBurst) + l.TotalRate*hold.Seconds(); most > float64(l.IDs) {
		t.Errorf("open senders can have %.0f ids remembered, there is room for %d", most, l.IDs)
	}
}

func BenchmarkGuardFull(b *testing.B) {
	g := NewGuard(Limits{IDs: openLimits.IDs, PerSender: 256, Rate: 1e9, Burst: 1e9})
	var keys []address.Key
	for n := range 200 {
		keys = append(keys, testKey(b, byte(n+1)).Public())
	}
	n := 0
	for b.Loop() {
		now := noon.Add(time.Duration(n) * time.Millisecond)
		g.Take(now, keys[n%len(keys)], dated(n, now, time.Minute))
		n++
	}
}
