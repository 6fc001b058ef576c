package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// relayingHost is a machine with a node on it that relays, and can be started again.
type relayingHost struct {
	*agent
	host *natlab.Host
	as   func(*role)
}

// relaysFor adds one on the internet for whom it names.
func (w *world) relaysFor(name, id string) *relayingHost {
	w.t.Helper()
	secret, _ := newKey(w.t)
	h := &relayingHost{host: w.host(name, nil), as: func(r *role) { r.Key, r.RelayFor, r.Nobody, r.Port = secret, []string{id}, true, 4100 }}
	h.agent = w.node(h.host, h.as)
	return h
}

// carriedTransfer is one that began on a circuit by the first of some nodes.
func (w *world) carriedTransfer(size int64, names ...string) (f *transfer, relays map[string]*relayingHost, first string, callee *agent) {
	w.t.Helper()
	secret, id := newKey(w.t)
	relays = make(map[string]*relayingHost)
	var by []string
	for _, name := range names {
		r := w.relaysFor(name, id)
		relays[name] = r
		by = append(by, r.Address)
	}
	caller := w.node(w.behind("caller", random.nat), func(r *role) { r.Key, r.By, r.KeepAlive = secret, by, 2*time.Second })
	callee = w.node(w.behind("callee", random.nat), watchful)
	begun := caller.do(order{Connect: callee.Address, Keep: true})
	if begun.Error != "" || begun.Via != node.Relay {
		w.t.Fatalf("connected via %q: %s", begun.Via, begun.Error)
	}
	for name, r := range relays {
		if strings.Contains(r.Address, begun.By) {
			first = name
		}
	}
	caller.must(order{Flow: size, Rate: size / 8})
	f = &transfer{t: w.t.(*testing.T), caller: caller, share: size / 8, begun: time.Now()}
	f.goesOn("through the first")
	return f, relays, first, callee
}

// Where the node that relays dies in the middle of a transfer, the session goes on
// through the other one, whether its process was killed or its machine has lost
// its power; and where there is no other, once it is back. Not a byte is lost.
func TestCircuitOutlivesItsNode(t *testing.T) {
	if testing.Short() {
		t.Skip("long: not with -short")
	}
	t.Parallel()
	const size = 4 << 20
	t.Run("killed, with another", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		f, relays, first, _ := w.carriedTransfer(size, "one", "two")
		relays[first].kill()
		f.moves("through the other")
		f.ends()
	})
	t.Run("powerless, with another", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		f, relays, first, _ := w.carriedTransfer(size, "one", "two")
		relays[first].host.Cut(true)
		relays[first].kill()
		f.moves("through the other")
		f.ends()
	})
	t.Run("killed, and started again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		f, relays, first, _ := w.carriedTransfer(size, "one")
		one := relays[first]
		one.kill()
		f.stands()
		one.agent = w.node(one.host, one.as)
		f.moves("through it, started again")
		f.ends()
	})
	t.Run("powerless, and back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		f, relays, first, _ := w.carriedTransfer(size, "one")
		one := relays[first]
		one.host.Cut(true)
		one.kill()
		f.stands()
		one.host.Cut(false)
		one.agent = w.node(one.host, one.as)
		f.moves("through it, back again")
		f.ends()
	})
	t.Run("cut off, and back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		f, relays, first, _ := w.carriedTransfer(size, "one")
		relays[first].host.Cut(true)
		f.stands()
		relays[first].host.Cut(false)
		f.goesOn("through it, heard again")
		f.ends()
	})
	t.Run("ended, and started again later", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		f, relays, first, _ := w.carriedTransfer(size, "one")
		one := relays[first]
		one.end()
		f.stands()
		time.Sleep(17 * time.Second) // the stimulus: longer than a peer is waited for that was killed
		one.agent = w.node(one.host, one.as)
		f.moves("through it, started again later")
		f.ends()
	})
}

// stands waits until the path counts as lost.
func (f *transfer) stands() {
	f.t.Helper()
	for begun := time.Now(); f.caller.must(order{Look: true}).Alive; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			f.t.Fatal("the path still counts as alive")
		}
	}
}
