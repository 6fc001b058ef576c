package machinetest

import (
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a test in a test.
type recorder struct {
	testing.TB
	failed, skipped bool
}

func (r *recorder) Helper()              {}
func (r *recorder) Logf(string, ...any)  {}
func (r *recorder) Error(...any)         { r.failed = true }
func (r *recorder) Skipf(string, ...any) { r.skipped = true; panic(r) }

func TestCalmly(t *testing.T) {
	const late = "late"
	for _, c := range []struct {
		name    string
		wrong   []string // by try; the last one goes on
		pauses  []time.Duration
		failed  bool
		skipped bool
		tries   int
	}{
		{"well", []string{""}, []time.Duration{time.Second}, false, false, 1},
		{"wrong on a calm machine", []string{late}, []time.Duration{0}, true, false, 1},
		{"well at last", []string{late, late, ""}, []time.Duration{pause}, false, false, 3},
		{"wrong once it is calm", []string{late}, []time.Duration{pause, pause, 0}, true, false, 3},
		{"never calm", []string{late}, []time.Duration{pause}, false, true, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, tries := &recorder{TB: t}, 0
				func() {
					defer func() { _ = recover() }() // of Skipf
					calmly(r, func() func() time.Duration {
						return func() time.Duration { return c.pauses[min(tries, len(c.pauses))-1] }
					}, func() string {
						tries++
						time.Sleep(enough / 3)
						return c.wrong[min(tries, len(c.wrong))-1]
					})
				}()
				if r.failed != c.failed || r.skipped != c.skipped || tries != c.tries {
					t.Errorf("failed %v, skipped %v after %d tries", r.failed, r.skipped, tries)
				}
			})
		})
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := watch()
		time.Sleep(time.Minute)
		if longest := stop(); longest > 0 {
			t.Errorf("a pause of %v where there was none", longest)
		}
	})
}
