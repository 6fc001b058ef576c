package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// exchange is the spy's signalling.
func (s *spy) exchange(cfg node.Config) *signaling.Exchange {
	s.t.Helper()
	channel, err := mqtt.New(mqtt.Config{Key: s.key.Public(), Sign: s.key.Sign, Brokers: cfg.Brokers})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = channel.Close() })
	x, err := signaling.NewExchange(signaling.Config{Key: s.key, Channel: channel})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = x.Close() })
	return x
}

// resumeThrough has a session go on over a circuit that leads to its peer.
func (s *spy) resumeThrough(x *session.Session, by address.Key, circuitTo *session.Stream) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l, err := link.Client(ctx, circuit.NewConn(circuitTo, by, nil), s.identity, x.Peer(), link.Token{})
	if err != nil {
		return err
	}
	c, err := l.Nominate(signaling.NewID(), link.Resume)
	if err != nil {
		return err
	}
	return x.Resume(ctx, c, nil)
}

// A peer of two nodes that relay has its session with each go on over a circuit by
// the other one: they would lead round in a ring, and the two nodes pass on for ever
// what they say themselves. So it is not closed.
func TestCircuitsInARing(t *testing.T) {
	cfg := local(t)
	a := startSpy(t, cfg)
	relay := func() *node.Node {
		c := cfg
		c.Relaying = node.Relaying{For: signaling.Only(a.self.Key), Limits: circuit.Limits{Rate: 64 << 20}}
		n := start(t, c)
		accepting(t, n)
		return n
	}
	one, two := relay(), relay()
	between, err := one.ConnectAddress(shortly(t), two.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer between.Close()
	x := a.exchange(cfg)
	for _, way := range [][2]*node.Node{{one, two}, {two, one}} { // each expects a by the other
		_, err := x.Ask(shortly(t), way[0].ID(), cfg.Brokers, signaling.Message{
			Kind: signaling.KindRelay, Attempt: signaling.NewID(),
			Relay: &signaling.Relay{Secret: signaling.NewID(), By: []address.Address{{Key: way[1].ID()}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	xs, through := map[*node.Node]*session.Session{}, map[*node.Node]*session.Stream{}
	for n, other := range map[*node.Node]*node.Node{one: two, two: one} {
		xs[n], _ = a.session(n.Addr().String(), session.Circuit)
		s, status := ask(t, xs[n], circuit.Request{Op: circuit.To, Node: other.ID()})
		if status != circuit.Joined {
			t.Fatalf("answered %d", status)
		}
		within(t, n, "begun", func(s node.RelayingState) bool { return len(s.Circuits) == 1 })
		through[n] = s
	}
	if err := a.resumeThrough(xs[two], one.ID(), through[one]); err != nil {
		t.Fatal(err)
	}
	// A session that runs through a circuit carries none: neither the one that there
	// was, which ends as soon as the node has taken the new link, nor another.
	within(t, two, "over", carriesNone)
	if s, status := ask(t, xs[two], circuit.Request{Op: circuit.To, Node: one.ID()}); status != circuit.Absent {
		t.Errorf("one more is answered %d", status)
	} else {
		_ = s.Reset()
	}
	if err := a.resumeThrough(xs[one], two.ID(), through[two]); err == nil {
		t.Error("the ring is closed")
	}
	if s := one.Relaying(); len(s.Circuits) != 1 {
		t.Errorf("the other circuit is gone, too: %+v", s)
	}
	_ = through[one].Reset()
	within(t, one, "over", carriesNone)
	for _, n := range []*node.Node{one, two} {
		if s := n.Relaying(); s.There+s.Back > 256<<10 {
			t.Errorf("%d bytes went round", s.There+s.Back)
		}
	}
}
