package node

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/signaling"
)

func someKeys(t *testing.T, n int) []address.Key {
	t.Helper()
	var keys []address.Key
	for k := range n {
		p, err := address.PrivateKeyFromBytes(append(make([]byte, 30), byte(k>>8)+1, byte(k)))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, p.Public())
	}
	return keys
}

// Who is admitted as everyone is takes no place from those who are named, however
// many come; and nobody is expected for ever.
func TestExpectedCallers(t *testing.T) {
	c, now := newCircuits(), time.Now()
	keys := someKeys(t, 2*maxExpected)
	relay, other := someKeys(t, 300)[299], someKeys(t, 300)[298]
	open, listed := 0, 0
	for _, k := range keys[:maxExpected] {
		if c.expect(now, k, signaling.Open, []address.Key{relay}) {
			open++
		}
	}
	for _, k := range keys[maxExpected:] {
		if c.expect(now, k, signaling.Listed, []address.Key{relay}) {
			listed++
		}
	}
	if open != maxExpectedOpen || listed != maxExpected-maxExpectedOpen {
		t.Errorf("%d and %d are expected", open, listed)
	}
	if !c.expects(now, keys[0], relay) || c.expects(now, keys[0], other) || c.expects(now, other, relay) {
		t.Error("another caller or another node will do")
	}
	if !c.expect(now, keys[0], signaling.Open, []address.Key{other}) || !c.expects(now, keys[0], relay) || !c.expects(now, keys[0], other) {
		t.Error("who is expected already is not brought by another node as well")
	}
	if !c.knows(now, relay) || c.knows(now, keys[0]) {
		t.Error("the wrong peers are known")
	}
	later := now.Add(expectedFor)
	if c.expects(later, keys[0], relay) || c.knows(later, relay) {
		t.Error("it is for ever")
	}
	if !c.expect(later, keys[maxExpected-1], signaling.Open, []address.Key{relay}) {
		t.Error("a place is not given back")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	c := newCircuits()
	keys := someKeys(t, maxRequests)
	var done []func()
	for range maxRequestsOf + 1 {
		if d, ok := c.enter(keys[0]); ok {
			done = append(done, d)
		}
	}
	if len(done) != maxRequestsOf {
		t.Errorf("%d of one peer", len(done))
	}
	for _, k := range keys[1:] {
		if d, ok := c.enter(k); ok {
			done = append(done, d)
		}
	}
	if len(done) != maxRequests {
		t.Errorf("%d in all", len(done))
	}
	for _, d := range done {
		d()
		d() // once counts
	}
	if len(c.requests) != 0 {
		t.Errorf("%v are left", c.requests)
	}
}

// Of a caller whom a callee announces, the callee is charged.
func TestCircuitsAreCharged(t *testing.T) {
	c, keys := newCircuits(), someKeys(t, 3)
	caller, callee, other := keys[0], keys[1], keys[2]
	limits := circuit.Limits{PerPeer: 1}.WithDefaults()
	wish := circuit.Wish{Linked: true}
	if d, _ := c.reserve(limits, wish, caller, callee); d != circuit.Turn {
		t.Errorf("a stranger gets %d", d)
	}
	gone := c.announce(callee, caller)
	if !c.knows(time.Now(), caller) {
		t.Error("who is announced is not let in")
	}
	d, release := c.reserve(limits, wish, caller, callee)
	if d != circuit.Join || c.held[callee] != 1 || c.held[caller] != 0 {
		t.Errorf("decision %d, held %v", d, c.held)
	}
	wish.Caller = signaling.Open
	if d, _ := c.reserve(limits, wish, callee, other); d != circuit.Defer {
		t.Errorf("one more of the callee's gets %d", d)
	}
	release()
	gone()
	if d, _ := c.reserve(limits, wish, callee, other); d != circuit.Join {
		t.Errorf("after that it gets %d", d)
	}
	if c.knows(time.Now(), caller) {
		t.Error("who is not announced any more is let in")
	}
}

type closer struct{ closed *atomic.Bool }

func (c *closer) Close() error { c.closed.Store(true); return nil }

func TestFirstOf(t *testing.T) {
	var closed atomic.Bool
	no := errors.New("no")
	fails := func(context.Context) (*closer, error) { return nil, no }
	waits := func(ctx context.Context) (*closer, error) { <-ctx.Done(); return nil, ctx.Err() }
	begun := make(chan struct{}) // when the late one has
	late := func(ctx context.Context) (*closer, error) { close(begun); <-ctx.Done(); return &closer{&closed}, nil }
	works := func(context.Context) (*closer, error) { return &closer{new(atomic.Bool)}, nil }
	soon := func(ctx context.Context) (*closer, error) { <-begun; return works(ctx) }
	type try = func(context.Context) (*closer, error)
	for name, c := range map[string]struct {
		after time.Duration
		tries []try
		works bool
	}{
		"none":                           {0, nil, false},
		"all fail":                       {time.Hour, []try{fails, fails, fails}, false},
		"the next, where one has failed": {time.Hour, []try{fails, works, waits}, true},
		"the next, where one is slow":    {time.Millisecond, []try{waits, works}, true},
		"what comes too late is closed":  {time.Millisecond, []try{late, soon}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, errs := firstOf(context.Background(), c.after, c.tries...)
			if (got != nil) != c.works || got != nil && got.closed.Load() {
				t.Errorf("%v, %v", got, errs)
			}
			if got == nil && (len(errs) != len(c.tries) || len(errs) > 0 && !errors.Is(errors.Join(errs...), no)) {
				t.Errorf("errors %v", errs)
			}
		})
	}
	if !closed.Load() {
		t.Error("it is not")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, errs := firstOf(ctx, time.Hour, works); got != nil || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("after the end: %v, %v", got, errs)
	}
}

// A peer's word about a node that relays opens a connection to no broker that is
// neither well known nor one of ours or of the call.
func TestNamedNodesAreMetOnKnownBrokers(t *testing.T) {
	key := someKeys(t, 1)[0]
	public, shared, foreign := address.Broker{Index: 2}, address.Broker{URL: "tcp://192.0.2.1:1883"}, address.Broker{URL: "tcp://198.51.100.7:22"}
	for name, c := range map[string]struct{ named, known, want []address.Broker }{
		"none":             {nil, []address.Broker{shared}, nil},
		"a well-known one": {[]address.Broker{public}, nil, []address.Broker{public}},
		"one of the call":  {[]address.Broker{foreign, shared}, []address.Broker{shared}, []address.Broker{shared}},
		"strangers only":   {[]address.Broker{foreign}, []address.Broker{shared, public}, []address.Broker{shared, public}},
	} {
		t.Run(name, func(t *testing.T) {
			named := []address.Address{{Key: key, Brokers: c.named}}
			before := slices.Clone(c.named)
			got := met(named, c.known)
			if len(got) != 1 || got[0].Key != key || !slices.Equal(got[0].Brokers, c.want) {
				t.Errorf("%v, want brokers %v", got, c.want)
			}
			if !slices.Equal(named[0].Brokers, before) {
				t.Error("the answer itself was changed")
			}
		})
	}
}
