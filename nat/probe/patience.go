package probe

import (
	"slices"
	"time"
)

const (
	// leastWait is the shortest time after which silence counts as an answer.
	leastWait = 250 * time.Millisecond
	// mostWait is how long a probe waits for the first answer of all: with the
	// retransmissions below, four packets must get lost.
	mostWait = 3 * time.Second
	// retransmit is the first RTO; it doubles (RFC 8489 §6.2.1, which has 500 ms
	// and up to 40 s, for one server; we ask many).
	retransmit = 250 * time.Millisecond
)

// silence is how long after a request no answer means that none comes, given
// round trips that were measured: twice the longest, and leastWait at least.
func silence(rtts ...time.Duration) time.Duration {
	longest := time.Duration(0)
	for _, r := range rtts {
		longest = max(longest, r)
	}
	return min(max(2*longest, leastWait), mostWait/2)
}

// patience is how long after their start to wait for the rest of asked
// requests, of which those with rtts have been answered. The fewer have, the
// longer: with two or fewer the rest get the time of a retransmission.
func patience(asked int, rtts []time.Duration) time.Duration {
	switch n := len(rtts); {
	case n >= asked:
		return 0
	case n == 0:
		return mostWait
	case n == 1:
		return min(2*retransmit+silence(rtts...), mostWait)
	case n == 2 || 2*n < asked:
		return min(retransmit+silence(rtts...), mostWait)
	}
	sorted := slices.Sorted(slices.Values(rtts))
	return silence(sorted[:len(sorted)*3/4+1]...) // one slow server does not hold all up
}
