package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// A hundred connects in a row between the commonest home routers, as fast as
// they go: none may fail, and nothing may pile up. The two are on each other's
// list, since a stranger may signal once a second only in the long run.
func TestHundred(t *testing.T) {
	t.Parallel()
	const connects, near = 100, 2 * time.Millisecond
	w := newWorld(t)
	nearby := terrain{home.name, &natlab.NAT{Delay: near}}
	this := cell{nearby, nearby, natlab.Drop}
	p := w.pair(this, conditions{})
	o := &outcome{cell: this}
	for n := range connects {
		r := p.caller.do(order{Connect: p.callee.Address})
		if o.add(r); r.Error != "" {
			t.Errorf("connect %d: %s\n%s", n+1, r.Error, strings.Join(r.Log, "\n"))
		}
	}
	t.Logf("%d of %d, median %v, worst %v", o.good, o.runs, median(o.times), quantile(o.times, 1))
	for _, a := range []*agent{p.caller, p.callee} {
		// What the last connections have left is on its way out.
		r := a.eventually("down to few goroutines", time.Minute, func(r reply) bool { return r.Routines <= 60 })
		t.Logf("%s: %d goroutines, %d kB", a.host.Name(), r.Routines, r.RSS)
	}
}
