package mqtt

import "time"

// backoff is the pause before try n+1 after n failures in a row: first·2ⁿ, at
// most longest, of which r in [0, 1) takes off up to a half, so that nodes that
// lost a broker together do not come back together.
func backoff(n int, first, longest time.Duration, r float64) time.Duration {
	d := longest
	if n < 30 && first<<n>>n == first && first<<n < longest {
		d = first << n
	}
	return d - time.Duration(r*float64(d)/2)
}
