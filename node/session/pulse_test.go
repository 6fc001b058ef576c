package session

import (
	"slices"
	"testing"
	"time"
)

// clock counts from the moment at which a pulse begins.
type clock struct {
	p     *pulse
	begin time.Time
}

func newClock(opener bool, rtt time.Duration) clock {
	c := clock{&pulse{opener: opener, trip: roundTrip{is: rtt}}, time.Unix(1e9, 0)}
	c.p.heard(c.begin)
	c.p.active(c.begin)
	return c
}

func (c clock) at(d time.Duration) time.Time { return c.begin.Add(d) }

// suspectAt runs a pulse by its own timer until it suspects its path, of which
// nothing is heard, and gives when: 0 where it does not within a minute.
func (c clock) suspectAt(from time.Duration, unanswered bool, bytes int) time.Duration {
	for now := from; now < from+time.Minute; {
		again := c.p.look(c.at(now), unanswered, bytes)
		if c.p.suspect {
			return now
		}
		if c.p.pingDue {
			c.p.ping(trial{went: c.at(now)})
			continue
		}
		now += again
	}
	return 0
}

func TestPings(t *testing.T) {
	for _, c := range []struct {
		opener bool
		want   []time.Duration // seconds of silence
	}{
		{true, []time.Duration{1, 5, 20, 35, 50, 65}},
		{false, []time.Duration{20, 40, 60}},
	} {
		k := newClock(c.opener, 10*time.Millisecond)
		var got []time.Duration
		for now := time.Duration(0); now <= 65*time.Second; {
			again := k.p.look(k.at(now), false, 0)
			if k.p.suspect {
				t.Fatalf("suspect after %v, and every PING is answered", now)
			}
			if k.p.pingDue {
				got = append(got, now/time.Second)
				id := k.p.ping(trial{went: k.at(now)})
				k.p.heard(k.at(now + 10*time.Millisecond))
				k.p.ponged(k.at(now+10*time.Millisecond), id, 0)
				continue
			}
			now += again
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("opener %v: PINGs after %d, want %d", c.opener, got, c.want)
		}
	}
}

func TestWhatIsSuspect(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		rtt    time.Duration
		rate   float64 // measured; bytes a second
		bytes  int     // unanswered
		urgent bool
		doubts int
		want   time.Duration
	}{
		{"one small frame", 40 * ms, 0, 160, false, 0, 2*time.Second + 160*ms},
		{"the same, not measured", 0, 0, 160, false, 0, 2 * time.Second},
		{"a queue on a fast path", 40 * ms, 100 << 20, 16 << 20, false, 0, 2*time.Second + 160*ms},
		{"a queue on a slow path", 40 * ms, 32 << 10, 320 << 10, false, 0, 4*time.Second + 160*ms},
		{"a queue on a path not measured", 40 * ms, 0, 320 << 10, false, 0, 3*time.Second + 160*ms},
		{"the same, doubted twice", 40 * ms, 0, 320 << 10, false, 2, 6*time.Second + 160*ms},
		{"a great queue on a crawling path", 40 * ms, 1 << 10, 16 << 20, false, 0, 18*time.Second + 160*ms},
		{"through a satellite", 700 * ms, 1 << 20, 1 << 20, false, 0, 4862 * ms},
		{"round trips of minutes", time.Minute, 64 << 20, 160, false, 0, 12 * time.Second},
		{"the network has changed", 40 * ms, 1 << 10, 16 << 20, true, 0, time.Second + 160*ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newClock(true, c.rtt)
			k.p.rate, k.p.doubts = c.rate, c.doubts
			k.p.await(k.begin)
			if c.urgent {
				k.p.check(k.begin)
				k.p.ping(trial{went: k.begin})
			}
			near := func(got time.Duration) bool { return got >= c.want && got < c.want+200*ms }
			if got := k.suspectAt(0, true, c.bytes); !near(got) {
				t.Errorf("suspect after %v, want %v", got, c.want)
			}
			// What is heard clears it, and begins the wait anew.
			k.p.heard(k.at(40 * time.Second))
			k.p.look(k.at(40*time.Second), true, c.bytes)
			if k.p.suspect {
				t.Error("it is heard, and suspect")
			}
		})
	}
}

// A path on which nothing is under way is silent, and no worse for it, until a
// PING is not answered.
func TestSilenceWhenIdle(t *testing.T) {
	k := newClock(true, 40*time.Millisecond)
	want := time.Second + 2*time.Second + 160*time.Millisecond // the first PING, and its time
	if got := k.suspectAt(0, false, 0); got < want || got > want+200*time.Millisecond {
		t.Errorf("suspect after %v, want %v", got, want)
	}
	k = newClock(false, 40*time.Millisecond)
	want += 19 * time.Second
	if got := k.suspectAt(0, false, 0); got < want || got > want+200*time.Millisecond {
		t.Errorf("the acceptor suspects after %v, want %v", got, want)
	}
}

// A slow path with a great queue is not suspect as long as it brings an ACK
// now and then, and the rate that it learns is the path's.
func TestSlowPathsAreNotSuspect(t *testing.T) {
	for _, rate := range []int{24 << 10, 100 << 10, 1 << 20} {
		k := newClock(true, 100*time.Millisecond)
		const piece = 64 << 10
		waits := 1 << 20
		k.p.await(k.begin)
		gap := time.Duration(float64(piece) / float64(rate) * float64(time.Second))
		for n := range 200 {
			now := time.Duration(n+1) * gap
			k.p.look(k.at(now), true, waits)
			if k.p.suspect {
				t.Fatalf("%d bytes/s: suspect after %v", rate, now)
			}
			k.p.heard(k.at(now))
			k.p.delivered(k.at(now), piece, waits) // and another piece is queued
		}
		if got := k.p.rate / float64(rate); got < 0.8 || got > 1.25 {
			t.Errorf("%d bytes/s are measured as %.0f", rate, k.p.rate)
		}
	}
}

// Few bytes on the way say nothing about the rate of the path.
func TestARateIsMeasuredUnderLoad(t *testing.T) {
	k := newClock(true, 500*time.Millisecond)
	for n := range 100 {
		k.p.delivered(k.at(time.Duration(n)*500*time.Millisecond), 160, 160)
	}
	if k.p.rate != 0 {
		t.Errorf("%.0f bytes/s", k.p.rate)
	}
}

// The pulse of the next link doubts more after a suspicion, and no more once one
// has brought a frame.
func TestDoubts(t *testing.T) {
	k := newClock(true, time.Second)
	for n := range mostDoubts + 3 {
		k.p.suspect = true
		p := k.p.moved(k.begin)
		if p.doubts != min(n+1, mostDoubts) || p.suspect || !p.pingDue || p.trip != (roundTrip{}) || !p.opener {
			t.Fatalf("%+v", p)
		}
		*k.p = p
	}
	k.p.suspect = true
	k.p.delivered(k.begin, headerSize+maxPayload, 0)
	if p := k.p.moved(k.begin); p.doubts != 0 {
		t.Errorf("%+v", p)
	}
}
