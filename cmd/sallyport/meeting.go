package main

import (
	"fmt"
	"sync/atomic"
	"time"
)

// meeting is the place of a code, as one side knows it: until a broker is reached
// nobody can be met there, and it is not the other side's fault.
type meeting struct{ reached atomic.Bool }

func (m *meeting) open() { m.reached.Store(true) }

// unused says what whoever shows a code waits for.
func (m *meeting) unused(wait time.Duration) func() string {
	return m.waiting(
		fmt.Sprintf("No signalling broker is reached yet, so nobody can use the code. Trying for up to %v.", short(wait)),
		fmt.Sprintf("Nobody has used the code yet. Waiting for up to %v.", short(wait)),
	)
}

// unanswered says what whoever has typed a code waits for: there, once the place
// is reached.
func (m *meeting) unanswered(wait time.Duration, there string) func() string {
	return m.waiting(fmt.Sprintf("No signalling broker is reached yet, so the code can't be used. Trying for up to %v.", short(wait)), there)
}

func (m *meeting) waiting(before, after string) func() string {
	return func() string {
		if m.reached.Load() {
			return after
		}
		return before
	}
}
