package netwatch

import "time"

// clocks are two readings taken together, of which only differences count.
type clocks struct {
	all   time.Duration // goes on while the machine sleeps
	awake time.Duration // stands still then, where the system has such a clock
}

// nap is what a machine may be away without having slept: a busy one is late,
// and a wall clock is put right.
const nap = 5 * time.Second

// slept reports whether between two ticks, c and now, the machine slept: one
// clock went on alone, or both were lookEvery apart and much more.
func (c clocks) slept(now clocks) bool {
	all, awake := now.all-c.all, now.awake-c.awake
	return all-awake > nap || awake-lookEvery > nap
}
