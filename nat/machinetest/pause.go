// Package machinetest is what tests need of the machine that they run on: ports
// that nobody else gets, and whether it let them run.
package machinetest

import (
	"testing"
	"time"
)

const (
	// pause is how long a program that has something to do may be kept from it, for
	// its times to say something.
	pause = 40 * time.Millisecond
	// tick is how often that is looked at.
	tick = 5 * time.Millisecond
	// enough is after how much time the machine is given up.
	enough = time.Minute
)

// Calmly tries something whose outcome hangs on time until it goes well. What is
// wrong, as try says, fails the test unless this program was kept waiting for
// 40 ms meanwhile; else it is tried again. A test that had no calm moment within
// a minute is skipped.
func Calmly(t testing.TB, try func() (wrong string)) {
	t.Helper()
	calmly(t, watch, try)
}

func calmly(t testing.TB, watch func() (stop func() time.Duration), try func() (wrong string)) {
	t.Helper()
	for begun := time.Now(); ; {
		wrong, longest := once(watch, try)
		switch {
		case wrong == "":
			return
		case longest < pause:
			t.Error(wrong)
			return
		case time.Since(begun) > enough:
			t.Skipf("the machine is too busy: it paused for %v during a try, in which %s", longest, wrong)
		}
		t.Logf("tried again after a pause of %v: %s", longest, wrong)
	}
}

// once gives what is wrong, and the longest pause. It stops watching even where try
// ends the test.
func once(watch func() (stop func() time.Duration), try func() (wrong string)) (wrong string, longest time.Duration) {
	stop := watch()
	defer func() { longest = stop() }()
	return try(), 0
}

// watch measures the longest time for which this program is kept waiting.
func watch() (stop func() (longest time.Duration)) {
	end, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		longest := time.Duration(0)
		for {
			before := time.Now()
			select {
			case <-end:
				result <- max(longest, time.Since(before)-tick)
				return
			case <-time.After(tick):
				longest = max(longest, time.Since(before)-tick)
			}
		}
	}()
	return func() time.Duration {
		close(end)
		return <-result
	}
}
