package probe

import (
	"sync"
	"time"
)

const (
	// mostPackets is how many packets a probe sends over one transport.
	mostPackets = 60
	// packetsPerConn is what a TCP connection takes that is opened, asked and
	// reset: SYN, request with the handshake's ACK (see saveACK), ACK of the
	// answer, RST. One that is reset within the 40 ms of a delayed ACK takes
	// packetsPerQuick. On a slow path the kernel retransmits; some packets are
	// kept back for that.
	packetsPerConn  = 4
	packetsPerQuick = 3
	keptBack        = 5
)

// budget counts packets down. The zero value is used up.
type budget struct {
	mu   sync.Mutex
	left int
}

// take takes n packets out, all or none.
func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < n {
		return false
	}
	b.left -= n
	return true
}

// has reports whether n packets are left.
func (b *budget) has(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left >= n
}

// give puts n packets back that were not sent after all; a negative n are
// packets that were sent beyond what was taken.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+n, mostPackets)
}

// lane is held by whoever opens mappings: one of them at a time, so that a
// burst of packets whose order tells how the NAT counts is not disturbed by
// our own others.
type lane struct{ sync.Mutex }

// gap lies between two packets of a burst, to keep them in order on their way
// to the NAT.
const gap = time.Millisecond
