package node_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// busy says what shows that far more wants to run on this machine than it has
// processors for; "" where nothing does. Then timeouts that are made for the
// networks of people pass because nobody got to do anything, and a call that fails
// shows nothing.
func busy() string {
	var load float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &load)
	}
	if load > float64(3*runtime.NumCPU()) {
		return fmt.Sprintf("the load is %.1f on %d processors", load, runtime.NumCPU())
	}
	var waited float64 // the share of the last 10 s in which somebody did
	if text, err := os.ReadFile("/proc/pressure/cpu"); err == nil {
		_, _ = fmt.Sscanf(string(text), "some avg10=%f", &waited)
	}
	if waited > 90 {
		return fmt.Sprintf("somebody waits for a processor in %.0f %% of the time", waited)
	}
	return ""
}

// excused is how many calls that have failed are made again on a busy machine.
const excused = 8

// connect gives an order to connect, and gives it again where that fails on a busy
// machine: on any other the first failure counts.
func (a *agent) connect(o order) reply {
	a.t.Helper()
	return a.calls(o, func(r reply) bool { return r.Error == "" })
}

// calls is the same with another outcome than that the two connect.
func (a *agent) calls(o order, ok func(reply) bool) reply {
	a.t.Helper()
	r := a.do(o)
	for n := 0; !ok(r) && n < excused; n++ {
		why := busy()
		if why == "" {
			break
		}
		a.t.Logf("%s calls again, since %s: %s\n%s", a.host.Name(), why, r.Error, strings.Join(r.Log, "\n"))
		r = a.do(o)
	}
	return r
}

// TestBusy: what the system tells of its load is understood where it tells it.
func TestBusy(t *testing.T) {
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		var load float64
		if _, err := fmt.Sscan(string(text), &load); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if text, err := os.ReadFile("/proc/pressure/cpu"); err == nil {
		var waited float64
		if _, err := fmt.Sscanf(string(text), "some avg10=%f", &waited); err != nil || waited < 0 || waited > 100 {
			t.Errorf("%q: %v", text, err)
		}
	}
	t.Logf("busy: %q", busy())
}
