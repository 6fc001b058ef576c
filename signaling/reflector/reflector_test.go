package reflector

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/signaling"
)

var start = time.UnixMilli(1_800_000_000_000)

var (
	self   = at("51.15.0.1", "192.168.1.2", 4001, "me")
	far    = at("88.99.0.9", "192.168.1.77", 4001, "other")
	nearby = at("51.15.0.1", "192.168.1.3", 4002, "other")
	same   = at("51.15.0.1", "192.168.1.2", 4002, "me")
)

func open(dest ...netip.AddrPort) Request {
	return Request{Level: signaling.Open, Self: self, Peer: far, Dest: dest}
}

func TestPerMessage(t *testing.T) {
	b := New(Config{})
	d := endpoints("88.99.0.9:4001", "88.99.0.9:4002", "88.99.0.10:4001")
	p := b.Vet(start, open(append(d, d...)...))
	if !slices.Equal(p.Dest, d) {
		t.Fatalf("destinations %v, want each once", p.Dest)
	}
	spent := 0
	for n := range 100 {
		if p.Spend(start, d[n%3], 1) {
			spent++
		}
	}
	if spent != PerMessage || p.Left() != 0 {
		t.Errorf("spent %d packets, %d left", spent, p.Left())
	}
	p = b.Vet(start, open(d...))
	if p.Spend(start, endpoints("88.99.0.9:9999")[0], 1) || p.Spend(start, d[0], 0) || p.Spend(start, d[0], -5) || p.Spend(start, d[0], 11) {
		t.Error("spent on another port, or a senseless number")
	}
	if p.Left() != PerMessage {
		t.Errorf("%d left: a no cost something", p.Left())
	}
	if !p.Spend(start.Add(Window), d[0], 1) || p.Spend(start.Add(Window+1), d[0], 1) {
		t.Error("the deadline is not where it should be")
	}
	many := make([]netip.AddrPort, 100)
	for n := range many {
		many[n] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{88, 99, 1, byte(n)}), 4001)
	}
	if p := b.Vet(start, open(many...)); len(p.Dest) != MaxDestinations || len(p.Refused) != 100-MaxDestinations {
		t.Errorf("%d allowed, %d refused of 100", len(p.Dest), len(p.Refused))
	}
}

// TestPerDestination aims a hundred senders' messages at one victim, in IPv4 and
// all over one IPv6 /64.
func TestPerDestination(t *testing.T) {
	for _, format := range []string{"88.99.0.9:%d", "[2a01:4f8:1:2::%x]:4001"} {
		b := New(Config{})
		fire := func(now time.Time) (spent int) {
			for n := range 100 {
				d := endpoints(fmt.Sprintf(format, 4001+n))[0]
				p := b.Vet(now, open(d))
				for p.Spend(now, d, 1) {
					spent++
				}
			}
			return spent
		}
		if got := fire(start); got != PerSiteBurst {
			t.Errorf("%s: %d packets at once, want %d", format, got, PerSiteBurst)
		}
		if got := fire(start.Add(10 * time.Second)); got != 10*PerSiteRate {
			t.Errorf("%s: %d packets 10 s later, want %d", format, got, 10*PerSiteRate)
		}
		other := endpoints("[2a01:4f8:1:3::1]:4001")[0]
		if !b.Vet(start, open(other)).Spend(start, other, 1) {
			t.Errorf("%s: another destination has to suffer", format)
		}
	}
}

// TestTotal spends on ever new destinations for ten minutes: the total holds,
// memory is bounded, and no destination is ever refused for want of memory.
func TestTotal(t *testing.T) {
	b := New(Config{})
	spent, most := 0, 0
	const seconds = 600
	for n := range seconds * 200 {
		now := start.Add(time.Duration(n) * time.Second / 200)
		d := netip.AddrPortFrom(netip.AddrFrom4([4]byte{88, byte(n >> 16), byte(n >> 8), byte(n)}), 4001)
		if b.Vet(now, open(d)).Spend(now, d, 1) {
			spent++
		}
		most = max(most, len(b.sites))
	}
	if want := TotalBurst + TotalRate*seconds; spent > want || spent < want-TotalRate {
		t.Errorf("%d packets in %d s, want %d", spent, seconds, want)
	}
	if most >= maxSites || most < 1000 {
		t.Errorf("%d destinations were remembered at once", most)
	}
}

func TestListedAndBirthday(t *testing.T) {
	d, random, low := endpoints("88.99.0.9:4001")[0], endpoints("88.99.0.9:33333")[0], endpoints("88.99.0.9:25")[0]
	elsewhere := endpoints("88.99.0.10:33333")[0]
	cases := []struct {
		config Birthday
		level  signaling.Level
		want   bool
	}{
		{BirthdayListed, signaling.Listed, true}, {BirthdayListed, signaling.Open, false},
		{BirthdayAlways, signaling.Listed, true}, {BirthdayAlways, signaling.Open, true}, {BirthdayAlways, signaling.Stranger, false},
		{BirthdayNever, signaling.Listed, false}, {BirthdayNever, signaling.Open, false},
	}
	for _, c := range cases {
		r := open(d)
		r.Level = c.level
		p := New(Config{Birthday: c.config}).Vet(start, r)
		if p.Birthday != c.want || p.Spend(start, random, 1) != c.want {
			t.Errorf("%v, %v: random ports %t, want %t", c.config, c.level, p.Birthday, c.want)
		}
		if p.Spend(start, low, 1) || p.Spend(start, elsewhere, 1) {
			t.Errorf("%v, %v: a port of the system, or another host, was spent on", c.config, c.level)
		}
	}
	r := open(d)
	r.Level = signaling.Listed
	p := New(Config{}).Vet(start, r)
	for range 10_000 {
		if !p.Spend(start, random, 1) {
			t.Fatal("a listed sender is counted")
		}
	}
	if p.Left() != -1 {
		t.Errorf("%d left", p.Left())
	}

	b, spent := New(Config{Birthday: BirthdayAlways}), 0
	for range 3 { // messages of open senders share one budget
		for p := b.Vet(start, open(d)); p.Spend(start, random, 1); {
			spent++
		}
	}
	if spent != RandomBurst {
		t.Errorf("%d packets to random ports for open senders, want %d", spent, RandomBurst)
	}
}

func TestConnect(t *testing.T) {
	times := []struct {
		lasts time.Duration
		want  int
	}{
		{-time.Second, 0}, {0, 0}, {time.Millisecond, 1}, {900 * time.Millisecond, 1}, {time.Second, 2},
		{1900 * time.Millisecond, 2}, {2900 * time.Millisecond, 3}, {4900 * time.Millisecond, 5},
		{6900 * time.Millisecond, 6}, {7 * time.Second, 7}, {18 * time.Second, 8}, {time.Hour, 11},
	}
	for _, c := range times {
		if got := SYNs(c.lasts); got != c.want {
			t.Errorf("a connect of %v sends %d packets, want %d", c.lasts, got, c.want)
		}
	}
	for n := range 11 {
		if got := SYNs(Lasts(n)); got != n {
			t.Errorf("Lasts(%d) = %v costs %d packets", n, Lasts(n), got)
		}
	}

	d := endpoints("88.99.0.9:4001", "88.99.0.10:4001")
	p := New(Config{}).Vet(start, open(d...))
	if got := p.Connect(start, d[0], 5900*time.Millisecond); got != 5900*time.Millisecond || p.Left() != 4 {
		t.Errorf("the first lasts %v, %d left", got, p.Left())
	}
	if got := p.Connect(start, d[1], 10*time.Second); got != Lasts(4) || p.Left() != 0 {
		t.Errorf("the second lasts %v, %d left", got, p.Left())
	}
	if got := p.Connect(start, d[1], time.Second); got != 0 {
		t.Errorf("a third lasts %v", got)
	}
	late := start.Add(Window - 500*time.Millisecond)
	p = New(Config{}).Vet(start, open(d...))
	if got := p.Connect(late, d[0], 10*time.Second); got != 500*time.Millisecond || p.Left() != PerMessage-1 {
		t.Errorf("before the deadline it lasts %v, %d left", got, p.Left())
	}
	if got := p.Connect(start.Add(Window), d[0], time.Second); got != 0 {
		t.Errorf("at the deadline it lasts %v", got)
	}
}

// TestExamples keeps the arithmetic of the documentation.
func TestExamples(t *testing.T) {
	five := endpoints("88.99.0.1:1", "88.99.0.2:1", "88.99.0.3:1", "88.99.0.4:1", "88.99.0.5:1")
	p := New(Config{}).Vet(start, open(five...))
	for _, d := range five {
		if p.Connect(start, d, 1900*time.Millisecond) != 1900*time.Millisecond {
			t.Error("five destinations for 1.9 s each are too much")
		}
	}
	p = New(Config{}).Vet(start, open(five[:2]...))
	for n := range 6 {
		lasts := 2900 * time.Millisecond
		if n >= 2 {
			lasts = 900 * time.Millisecond
		}
		if p.Connect(start, five[n%2], lasts) != lasts {
			t.Error("two destinations for 2.9 s and four retries are too much")
		}
	}
	p = New(Config{}).Vet(start, open(five[0]))
	now, primed := start, 0
	for p.Connect(now, five[0], 800*time.Millisecond) > 0 {
		now = now.Add(800 * time.Millisecond)
		primed++
	}
	if primed != 10 {
		t.Errorf("primed %d times", primed)
	}
}

func TestPermitIsShared(t *testing.T) {
	d := endpoints("88.99.0.9:4001")[0]
	p := New(Config{}).Vet(start, open(d))
	var spent atomic.Int64
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() {
			if p.Spend(start, d, 1) {
				spent.Add(1)
			}
		})
	}
	work.Wait()
	if spent.Load() != PerMessage {
		t.Errorf("%d goroutines got a packet", spent.Load())
	}
}
