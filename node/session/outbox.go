package session

const (
	// maxQueued is how many bytes wait to be sent for the first time, and
	// maxKept how much memory waits to be acknowledged, before Write waits.
	maxQueued = 256 << 10
	maxKept   = 16 << 20
	// batchBytes is how much is written at once, about.
	batchBytes = 256 << 10
	// blockCost is what a frame costs beside its bytes.
	blockCost = 96
)

// outbox keeps the numbered frames of one direction until they are
// acknowledged. It is a value under its session's lock.
type outbox struct {
	frames []*block // the oldest first
	first  uint64   // number of frames[0]
	acked  uint64   // so many have arrived at the peer
	next   uint64   // number of the next to be sent on this link
	sent   uint64   // up to here frames have been sent on any link
	pinned bool     // the frames from pin on are being written
	pin    uint64
	queued int // bytes not sent on any link
	kept   int // memory of all
	resent uint64
}

func (o *outbox) end() uint64  { return o.first + uint64(len(o.frames)) }
func (o *outbox) empty() bool  { return o.acked == o.end() }
func (o *outbox) unsent() bool { return o.next < o.end() }

// waiting reports whether something that was sent is not acknowledged.
func (o *outbox) waiting() bool { return o.acked < o.sent }

// full reports whether a writer of data has to wait.
func (o *outbox) full() bool { return o.queued >= maxQueued || o.kept >= maxKept }

// push adds a frame, of which it gives the number.
func (o *outbox) push(b *block) uint64 {
	if n := len(o.frames); n > 0 {
		o.frames[n-1].open = false
	}
	o.frames = append(o.frames, b)
	o.queued += len(b.bytes)
	o.kept += cap(b.bytes) + blockCost
	return o.end() - 1
}

// extend adds p to the last frame, if that is data of the same stream that
// waits to be sent, and it fits.
func (o *outbox) extend(id uint32, p []byte) bool {
	if o.next >= o.end() {
		return false
	}
	b := o.frames[len(o.frames)-1]
	if !b.open || b.id != id || b.room() < len(p) {
		return false
	}
	b.bytes = append(b.bytes, p...)
	o.queued += len(p)
	return true
}

// take gives the next frames to write, and pins them until written is called.
func (o *outbox) take(into [][]byte) [][]byte {
	o.pin, o.pinned = o.next, true
	for size := 0; o.next < o.end() && size < batchBytes; o.next++ {
		b := o.frames[o.next-o.first]
		b.seal()
		into = append(into, b.bytes)
		size += len(b.bytes)
		if o.next < o.sent {
			o.resent++
			continue
		}
		o.queued -= len(b.bytes)
		o.sent = o.next + 1
	}
	return into
}

// written ends what take began.
func (o *outbox) written() {
	o.pinned = false
	o.drop()
}

// acknowledge notes that the frames below number have arrived. It refuses a
// number that was not sent.
func (o *outbox) acknowledge(number uint64) bool {
	if number > o.sent {
		return false
	}
	o.acked = max(o.acked, number)
	o.drop()
	return true
}

// rewind begins a new link: everything that has not arrived is sent again.
func (o *outbox) rewind() {
	o.next = o.acked
	o.drop()
}

// drop forgets what has arrived, but for what is being written, and for what
// this link has yet to bring: what came over the last one in the meantime is
// counted there too.
func (o *outbox) drop() {
	upTo := min(o.acked, o.next)
	if o.pinned {
		upTo = min(upTo, o.pin)
	}
	if upTo <= o.first {
		return
	}
	n := int(upTo - o.first)
	for _, b := range o.frames[:n] {
		o.kept -= cap(b.bytes) + blockCost
		b.release()
	}
	clear(o.frames[:n])
	o.frames = o.frames[n:] // append copies what is left, now and then
	o.first = upTo
	if len(o.frames) == 0 {
		o.frames = nil
	}
}
