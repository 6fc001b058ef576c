package node_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

// until reads notices up to the first of type H for which ok holds, and gives
// all of them.
func until[H node.Happening](t *testing.T, notices <-chan node.Notice, ok func(H) bool) (all []node.Notice, last H) {
	t.Helper()
	ctx := shortly(t)
	for {
		select {
		case e, open := <-notices:
			if !open {
				t.Fatalf("the stream has ended; before that came %+v", all)
			}
			all = append(all, e)
			if what, is := e.What.(H); is && ok(what) {
				return all, what
			}
		case <-ctx.Done():
			t.Fatalf("there was no %T among %+v", last, all)
		}
	}
}

func whatever[H any](H) bool { return true }

func TestEventsOfACall(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	a := start(t, cfg)
	of, there := a.Events(shortly(t)), b.Events(shortly(t))
	first := <-of
	if s, ok := first.What.(node.Started); !ok || s.Address.Key != a.ID() || s.Since.IsZero() {
		t.Fatalf("the stream begins with %+v", first)
	}
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer := <-accepted
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}

	all, connected := until(t, of, whatever[node.Connected])
	if connected.Peer != b.ID() || !connected.Opener || connected.Via != c.Via() || connected.Session != 1 {
		t.Errorf("%+v", connected)
	}
	var call string
	steps := 0
	for _, e := range all {
		switch what := e.What.(type) {
		case node.CallBegun:
			if call = what.Call; what.Purpose != node.ToConnect || what.Peer != b.ID() {
				t.Errorf("%+v", what)
			}
		case node.CallStep:
			if steps++; what.Call != call {
				t.Errorf("a step of call %q, which has not begun", what.Call)
			}
		}
	}
	if call == "" || steps == 0 {
		t.Errorf("call %q with %d steps in %+v", call, steps, all)
	}
	_, ended := until(t, of, whatever[node.CallEnded])
	if ended.Call != call || ended.Err != nil || ended.Via != c.Via() || ended.Took <= 0 {
		t.Errorf("%+v", ended)
	}
	if _, theirs := until(t, there, whatever[node.Connected]); theirs.Opener || theirs.Peer != a.ID() {
		t.Errorf("at the other end: %+v", theirs)
	}

	mine, theirs := a.Sessions(), b.Sessions()
	if len(mine) != 1 || len(theirs) != 1 || mine[0].Sent != 5 || theirs[0].Received != 5 || !mine[0].Alive || mine[0].Number != 1 {
		t.Errorf("sessions %+v and %+v", mine, theirs)
	}
	if s := a.Brokers(); len(s) != 1 || !s[0].Open || s[0].Err != nil {
		t.Errorf("brokers %+v", s)
	}
	if s := a.Places(); len(s) == 0 || s[0].Interface != "lo" {
		t.Errorf("places %+v", s)
	}
	_, _ = c.Close(), peer.Close()
	if _, closed := until(t, of, whatever[node.Closed]); closed.Session != 1 || closed.Peer != b.ID() {
		t.Errorf("%+v", closed)
	}
	if len(a.Sessions()) != 0 {
		t.Error("the session is still listed")
	}
}

func TestEventsOfAFailedCall(t *testing.T) {
	cfg := local(t)
	cfg.Strategies = []node.Strategy{node.Direct}
	a, gone := start(t, cfg), start(t, cfg)
	target := gone.Address()
	_ = gone.Close()
	of := a.Events(shortly(t))
	_, err := a.ConnectAddress(shortly(t), target)
	_, ended := until(t, of, whatever[node.CallEnded])
	if err == nil || !errors.Is(ended.Err, err) {
		t.Errorf("the call failed with %v, and the event has %v", err, ended.Err)
	}
}

func TestEventsOfABroker(t *testing.T) {
	cfg := local(t)
	b := brokertest.Start(t, broker.Config{})
	own := address.Broker{URL: b.URL()}
	cfg.Brokers = append(cfg.Brokers, own)
	n := start(t, cfg)
	of := n.Events(shortly(t))
	is := func(s node.BrokerState) bool { return s.Broker == own && s.Open }
	for !is(n.Brokers()[1]) { // New waits for one of them alone
		until(t, of, whatever[node.BrokerUp])
	}
	_ = b.Close()
	if _, down := until(t, of, func(d node.BrokerDown) bool { return d.Broker == own }); down.Err == nil {
		t.Errorf("%+v", down)
	}
	if s := n.Brokers()[1]; s.Open || s.Err == nil {
		t.Errorf("%+v", s)
	}
}

// Who does not read loses notices, is told how many, and holds nobody up.
func TestEventsAreDroppedAndCounted(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepting(t, b)
	a := start(t, cfg)
	slow := a.Events(shortly(t))
	quick := a.Events(shortly(t))
	seen := 1 // Started
	for seen < 300 {
		c, err := a.ConnectAddress(shortly(t), b.Address())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		all, _ := until(t, quick, whatever[node.Closed])
		seen += len(all)
	}
	read, dropped := 0, 0
	for e := range slow {
		read++
		if dropped += e.Dropped; dropped > 0 {
			break
		}
		if read == cap(slow) { // there is room again
			c, err := a.ConnectAddress(shortly(t), b.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	if read != cap(slow)+1 || dropped < seen-cap(slow)-1 {
		t.Errorf("%d were read, and %d counted as dropped, of more than %d", read, dropped, seen)
	}
}

func TestEventsEnd(t *testing.T) {
	n := start(t, local(t))
	ctx, cancel := context.WithCancel(context.Background())
	one, other := n.Events(ctx), n.Events(context.Background())
	cancel()
	for range one {
	}
	_ = n.Close()
	for range other {
	}
	for range n.Events(context.Background()) {
		t.Error("an event of a node that is closed")
	}
}
