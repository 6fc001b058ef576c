package session

import (
	"io"
	"slices"
	"testing"
	"time"
)

// flight is a frame that went and was acknowledged.
type flight struct {
	took  time.Duration
	alone bool
	came  uint64 // frames of the peer's, meanwhile
}

func TestRoundTripOfFrames(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		ping     time.Duration // what a PING told before
		times    int
		each     flight
		from, to time.Duration
	}{
		{"the first one tells at once", 0, 1, flight{took: 80 * ms}, 80 * ms, 80 * ms},
		{"a PING under load is set right", 650 * ms, 1, flight{took: 90 * ms}, 90 * ms, 90 * ms},
		{"whatever comes meanwhile", 650 * ms, 1, flight{took: 90 * ms, came: 7}, 90 * ms, 90 * ms},
		{"a queue raises nothing", 80 * ms, 1000, flight{took: 3000 * ms}, 80 * ms, 80 * ms},
		{"nor does the peer's", 80 * ms, 1000, flight{took: 3000 * ms, alone: true, came: 1}, 80 * ms, 80 * ms},
		{"nor an ACK that is late", 80 * ms, 1000, flight{took: 80*ms + ackDelay, alone: true}, 80 * ms, 80 * ms},
		{"a path that has become longer", 80 * ms, 40, flight{took: 500*ms + ackDelay, alone: true}, 499 * ms, 500 * ms},
		{"not so at once", 80 * ms, 1, flight{took: 500*ms + ackDelay, alone: true}, 185 * ms, 185 * ms},
		{"one that has become shorter", 80 * ms, 1, flight{took: 20 * ms, alone: true}, 20 * ms, 20 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			var r roundTrip
			if c.ping > 0 {
				r.within(c.ping, c.ping)
			}
			came := uint64(5)
			for n := range uint64(c.times) {
				r.sending(n, trial{now, c.each.alone, came})
				now, came = now.Add(c.each.took), came+c.each.came
				r.acknowledged(now, n+1, came)
			}
			if r.is < c.from || r.is > c.to {
				t.Errorf("%v, want %v to %v", r.is, c.from, c.to)
			}
		})
	}
}

// One frame is timed at once, by the first ACK that covers it.
func TestOneFrameIsTimed(t *testing.T) {
	const ms = time.Millisecond
	at := func(d time.Duration) time.Time { return time.Unix(1e9, 0).Add(d) }
	var r roundTrip
	r.acknowledged(at(0), 1, 0) // of nothing that is timed
	r.sending(7, trial{went: at(0)})
	r.sending(8, trial{went: at(70 * ms)})
	r.acknowledged(at(75*ms), 7, 0) // 0 to 6
	if r.is != 0 {
		t.Errorf("%v by the ACK of others", r.is)
	}
	r.acknowledged(at(100*ms), 12, 0)
	r.acknowledged(at(900*ms), 13, 0)
	if r.is != 100*ms {
		t.Errorf("%v, want 100ms", r.is)
	}
}

// What a PING tells beside a queue at either end is a bound.
func TestRoundTripOfPings(t *testing.T) {
	const ms = time.Millisecond
	var got []time.Duration
	for _, f := range []flight{
		{80 * ms, true, 0}, {480 * ms, true, 0}, // exact, and rising by a fourth
		{680 * ms, false, 0}, {680 * ms, true, 1}, {30 * ms, false, 3},
	} {
		k := newClock(true, 0)
		if len(got) > 0 {
			k.p.trip.is = got[len(got)-1]
		}
		id := k.p.ping(trial{k.begin, f.alone, 10})
		k.p.ponged(k.at(f.took), id, 10+f.came)
		k.p.ponged(k.at(time.Hour), id, 10) // once is enough
		got = append(got, k.p.trip.is)
	}
	if want := []time.Duration{80 * ms, 180 * ms, 180 * ms, 180 * ms, 30 * ms}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// next reads what the victim sends, up to the first frame of a type.
func (r *raw) next(typ frameType) {
	r.t.Helper()
	_ = r.link.SetReadDeadline(time.Now().Add(ample))
	defer func() { _ = r.link.SetReadDeadline(time.Time{}) }()
	for head := make([]byte, headerSize); ; {
		if _, err := io.ReadFull(r.link, head); err != nil {
			r.t.Fatalf("no frame of type %d: %v", typ, err)
		}
		h, err := parseHeader(head)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r.link, int64(h.length)); err != nil {
			r.t.Fatal(err)
		}
		if h.typ == typ {
			return
		}
	}
}

// A session measures by its own frames where no PING is answered, but never by one
// that was sent again over another link.
func TestSentAgainIsNotTimed(t *testing.T) {
	r := beginRaw(t)
	far := r.open()
	r.next(frameAccept)
	r.resume()
	r.next(frameAccept) // again
	if err := r.send(plain(frameAck, 0, number(1)...)); err != nil {
		t.Fatal(err)
	}
	r.unharmed(far)
	if rtt := r.victim.Stats().RTT; rtt != 0 {
		t.Errorf("%v by a frame that was sent twice", rtt)
	}
	begun := time.Now()
	mustWrite(t, far, "once")
	r.next(frameData)
	if err := r.send(plain(frameAck, 0, number(2)...)); err != nil {
		t.Fatal(err)
	}
	r.unharmed(far)
	if rtt := r.victim.Stats().RTT; rtt <= 0 || rtt > time.Since(begun) {
		t.Errorf("%v by a frame that was sent once, %v ago", rtt, time.Since(begun))
	}
}
