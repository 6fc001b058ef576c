package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// A hundred connects in a row between the commonest home routers, as fast as
// they go: none may fail, and none may live on what an earlier one left.
func TestHundred(t *testing.T) {
	const connects, near = 100, 2 * time.Millisecond
	w := newWorld(t)
	caller := w.node(w.behind("caller", &natlab.NAT{Delay: near}))
	callee := w.node(w.behind("callee", &natlab.NAT{Delay: near}))
	o := &outcome{cell: cell{home, home, natlab.Drop}}
	for n := range connects {
		r := caller.do(order{Connect: callee.Address})
		if o.add(r); r.Error != "" {
			t.Errorf("connect %d: %s\n%s", n+1, r.Error, strings.Join(r.Log, "\n"))
		}
	}
	t.Logf("%d of %d, median %v, worst %v", o.good, o.runs, median(o.times), quantile(o.times, 1))
	for _, a := range []*agent{caller, callee} {
		if r := a.do(order{Report: true}); r.Routines > 60 {
			t.Errorf("%s runs %d goroutines afterwards", a.host.Name(), r.Routines)
		} else {
			t.Logf("%s: %d goroutines, %d kB", a.host.Name(), r.Routines, r.RSS)
		}
	}
}
