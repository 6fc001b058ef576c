package node_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

var (
	outliveBytes = flag.Int64("outlive.bytes", 16<<20, "how much the transfer that outlives its paths carries")
	outliveCut   = flag.Duration("outlive.cut", 4*time.Second, "for how long its path is cut")
)

// One transfer, checked by hash, while its relay is replaced by a direct path,
// the direct path is cut, the NATs are rebooted and renumbered, and the broker
// is restarted. Nothing is lost; the stalls are printed, as the table that
// docs/session.md has.
//
//	go test ./node -run TestTransferOutlivesItsPaths -v -outlive.bytes=268435456 -outlive.cut=30s
func TestTransferOutlivesItsPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, at := w.relayHost("3480")
	near, far := w.nat(*portRestricted(natlab.Drop)), w.nat(*portRestricted(natlab.Drop))
	two := func(c *natlab.HostConfig) { c.Addresses = 2 }
	calleeHost, callerHost := w.host("callee", far, two), w.host("caller", near, two)
	callee := w.node(calleeHost, func(r *role) { r.KeepAlive = 2 * time.Second })
	caller := w.node(callerHost, func(r *role) {
		r.Relays, r.KeepAlive = []string{relayURL(relaySecret, at)}, 2*time.Second
	})
	// At first nothing but the relay is between the two.
	toCallee, toCaller := far.Externals()[0].String(), near.Externals()[0].String()
	caller.must(order{Block: toCallee})
	callee.must(order{Block: toCaller})
	first := caller.do(order{Connect: callee.Address, Keep: true})
	if first.Error != "" || first.Via != node.Relay {
		t.Fatalf("connected via %q: %s", first.Via, first.Error)
	}
	const phases = 9
	f := &transfer{t: t, caller: caller, share: *outliveBytes / phases, begun: time.Now()}
	caller.must(order{Flow: *outliveBytes, Rate: *outliveBytes / 16})
	f.goesOn("via the relay")

	caller.must(order{Pass: toCallee})
	callee.must(order{Pass: toCaller})
	f.until("a direct path instead of the relay", func(r reply) bool { return r.Via != node.Relay })

	near.Cut(true)
	time.Sleep(*outliveCut) // the stimulus, and no wait for anything
	near.Cut(false)
	f.goesOn("the path cut for " + outliveCut.String())

	if err := near.Reboot(); err != nil {
		t.Fatal(err)
	}
	f.goesOn("the caller's NAT rebooted")

	if err := near.Renumber(); err != nil {
		t.Fatal(err)
	}
	f.moves("the caller's NAT renumbered")

	if err := far.Renumber(); err != nil {
		t.Fatal(err)
	}
	f.moves("the callee's NAT renumbered")

	for name, h := range map[string]*natlab.Host{"caller": callerHost, "callee": calleeHost} {
		sysctl(t, h, "conf/all/promote_secondaries", "1") // else the kernel takes both addresses
		renumber(t, h, 0)
		f.moves("the " + name + "'s machine changed its address")
	}

	w.serves.end()
	a := w.server.Addrs()
	w.start(w.server, role{Serve: []string{a[0].String(), a[1].String()}})
	f.goesOn("the broker restarted")
	f.ends()
}

// transfer watches a flow between two nodes.
type transfer struct {
	t      *testing.T
	caller *agent
	share  int64 // how much must come in each phase
	moved  int
	begun  time.Time
	rows   strings.Builder // of the table
}

func (f *transfer) until(what string, ok func(reply) bool) {
	f.t.Helper()
	var stall time.Duration
	begun := time.Now()
	before := f.caller.must(order{Look: true}).Got
	for {
		r := f.caller.must(order{Look: true})
		stall = max(stall, r.Stall)
		if r.Got >= before+f.share && ok(r) || r.Ended {
			fmt.Fprintf(&f.rows, "| %s | %v | %s | %d |\n", what, stall.Round(10*time.Millisecond), r.Via, r.Moves-f.moved)
			f.moved = r.Moves
			return
		}
		if time.Since(begun) > 3*time.Minute {
			f.t.Fatalf("%s: %+v\n%s", what, r, f.rows.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goesOn waits until the flow has gone on for its share.
func (f *transfer) goesOn(what string) {
	f.t.Helper()
	f.until(what, func(reply) bool { return true })
}

// moves waits until it has, over another path.
func (f *transfer) moves(what string) {
	f.t.Helper()
	f.until(what, func(r reply) bool { return r.Moves > f.moved })
}

// ends waits for the end, at which the hashes were compared.
func (f *transfer) ends() {
	f.t.Helper()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		r := f.caller.must(order{Look: true})
		if r.Ended {
			f.t.Logf("%d MiB there and back in %v\n\n| what happens | longest stall | then by | moves |\n| --- | ---: | --- | ---: |\n%s",
				*outliveBytes>>20, time.Since(f.begun).Round(time.Second), f.rows.String())
			return
		}
		if time.Since(begun) > 3*time.Minute {
			f.t.Fatalf("it does not end: %+v\n%s", r, f.rows.String())
		}
	}
}

// must gives an order that cannot fail.
func (a *agent) must(o order) reply {
	a.t.Helper()
	r := a.do(o)
	if r.Error != "" {
		a.t.Fatalf("%s: %s", a.host.Name(), r.Error)
	}
	return r
}
