package session

import "time"

const (
	// patience is how long an answer may take beside round trips and queues.
	patience = 2 * time.Second
	// urgentPatience is the same after the network has changed.
	urgentPatience = time.Second
	// mostRoundTrips bounds those.
	mostRoundTrips = 10 * time.Second
	// assumedRate is the path's rate until it has been measured, in bytes per
	// second. It is halved with each suspicion, mostDoubts times: a path may be
	// that slow, and a frame must get through some day. leastRate is the least
	// that is reckoned with.
	assumedRate = 64 << 10
	mostDoubts  = 4
	leastRate   = 4 << 10
	// busyBytes is how much must wait for its ACK for the rate to be the path's.
	busyBytes = 128 << 10
	// rateSpan is over how long a rate is measured.
	rateSpan = 200 * time.Millisecond
	// acceptorPing is after how much silence the acceptor asks.
	acceptorPing = 20 * time.Second
)

// openerPings are the silences after which the opener asks; the last one goes
// on repeating.
var openerPings = []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}

// pulse judges by what is heard whether a path is alive. It is a value under
// its session's lock; every instant is handed in.
type pulse struct {
	opener  bool
	suspect bool
	urgent  bool // until something is heard
	pingDue bool

	lastHeard  time.Time
	lastActive time.Time // when a numbered frame went or came
	awaited    time.Time // since when something is unanswered; zero if nothing is
	pings      int       // since lastActive
	pingID     uint64    // of the last PING
	pinged     trial     // when it went; zero once it is answered

	trip      roundTrip
	rate      float64 // bytes per second
	spanBegin time.Time
	spanBytes int
	acked     int // bytes
	doubts    int // how many paths in a row were suspect before they brought a frame
}

// heard notes that bytes came at an instant.
func (p *pulse) heard(at time.Time) {
	if at.After(p.lastHeard) {
		p.lastHeard = at
		p.urgent = false
	}
}

// active notes that numbered frames go to and fro.
func (p *pulse) active(now time.Time) {
	p.lastActive = now
	p.pings = 0
}

// await notes that an answer is awaited from now on. It reports whether none
// was before.
func (p *pulse) await(now time.Time) bool {
	p.active(now)
	if !p.awaited.IsZero() {
		return false
	}
	p.awaited = now
	return true
}

// ping gives the payload of a PING that goes now.
func (p *pulse) ping(now trial) uint64 {
	p.pingDue = false
	p.pingID++
	p.pings++
	p.pinged = now
	if p.awaited.IsZero() {
		p.awaited = now.went
	}
	return p.pingID
}

// moved is the pulse of the next link.
func (p pulse) moved(now time.Time) pulse {
	next := pulse{opener: p.opener, pingID: p.pingID, lastHeard: now, lastActive: now, doubts: p.doubts}
	switch {
	case p.acked >= headerSize+maxPayload: // fast enough for the patience that it met with
		next.doubts = 0
	case p.suspect:
		next.doubts = min(p.doubts+1, mostDoubts)
	}
	next.pingDue = true // measures the new path
	return next
}

// ponged takes the answer to a PING; so many frames have come.
func (p *pulse) ponged(now time.Time, id, came uint64) {
	if id == p.pingID && !p.pinged.went.IsZero() {
		p.trip.answered(p.pinged, now, came, 0)
		p.pinged = trial{}
	}
}

// check asks for a sign of life at once, with little patience from now on.
func (p *pulse) check(now time.Time) {
	p.urgent, p.pingDue = true, true
	if !p.awaited.IsZero() {
		p.awaited = now
	}
}

// delivered notes that so many bytes, of those that waited, were acknowledged.
// Few that waited tell how fast the application writes, not the path's rate.
func (p *pulse) delivered(now time.Time, bytes, waited int) {
	p.acked += bytes
	if waited < busyBytes {
		p.spanBegin = time.Time{}
		return
	}
	if p.spanBegin.IsZero() {
		p.spanBegin, p.spanBytes = now, 0
		return
	}
	p.spanBytes += bytes
	if d := now.Sub(p.spanBegin); d >= rateSpan {
		rate := float64(p.spanBytes) / d.Seconds()
		if p.rate > 0 {
			rate = (rate + p.rate) / 2
		}
		p.rate, p.spanBegin, p.spanBytes = rate, now, 0
	}
}

// patience is how long nothing at all may come while so many bytes wait for
// their ACK: however many they are, one comes with each frame.
func (p *pulse) patience(bytes int) time.Duration {
	if p.urgent {
		return urgentPatience + min(4*p.trip.is, mostRoundTrips)
	}
	rate := p.rate
	if rate == 0 {
		rate = assumedRate / float64(int(1)<<p.doubts)
	}
	frame := float64(min(bytes, headerSize+maxPayload)) / max(rate, leastRate)
	return patience + min(4*p.trip.is, mostRoundTrips) + time.Duration(frame*float64(time.Second))
}

// look judges the path. unanswered says whether numbered frames wait for their
// ACK, and bytes how much that is. again is when to look next.
func (p *pulse) look(now time.Time, unanswered bool, bytes int) (again time.Duration) {
	if !unanswered && p.pinged.went.IsZero() {
		p.awaited = time.Time{}
	}
	again = time.Hour
	if !p.awaited.IsZero() {
		since := p.awaited
		if p.lastHeard.After(since) {
			since = p.lastHeard
		}
		left := p.patience(bytes) - now.Sub(since)
		if left <= 0 {
			p.suspect = true
			return patience
		}
		again = left
	}
	p.suspect = false
	if !p.pinged.went.IsZero() || p.pingDue {
		return again
	}
	left := p.nextPing().Sub(now)
	if left <= 0 {
		p.pingDue = true
		return again
	}
	return min(again, left)
}

// nextPing is when to ask for a sign of life.
func (p *pulse) nextPing() time.Time {
	last := p.lastActive
	if !p.opener {
		return last.Add(time.Duration(p.pings+1) * acceptorPing)
	}
	steady := len(openerPings) - 1
	if p.pings <= steady {
		return last.Add(openerPings[p.pings])
	}
	every := openerPings[steady] - openerPings[steady-1]
	return last.Add(openerPings[steady] + time.Duration(p.pings-steady)*every)
}
