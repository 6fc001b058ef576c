package natlab

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// sink is the far end of a link under test.
type sink struct{ arrived []time.Duration }

func (s *sink) fromBelow(p *packet, k *link)          { s.arrived = append(s.arrived, k.lab.now) }
func (s *sink) attach(netip.Addr, *link) bool         { return true }
func (s *sink) detach(a netip.Addr)                   {}
func (s *sink) networks(Stack, bool) (networks, bool) { return networks{}, true }

// newTestLink is a link whose clock the test turns by hand.
func newTestLink(quality Link) (*link, *sink) {
	s := &sink{}
	k := &link{Link: quality, parent: s, rng: [2]*rand.Rand{rand.New(rand.NewPCG(1, 1))}}
	k.lab = &Lab{began: time.Now(), alarm: &alarm{closed: true}}
	return k, s
}

// turn moves the clock on to now.
func (k *link) turn(now time.Duration) {
	k.lab.advance(now)
	k.lab.now = now
}

func TestLinkDelay(t *testing.T) {
	k, s := newTestLink(Link{Delay: 10})
	p := udp(inside1, outside1)
	for now := range 100 {
		k.turn(time.Duration(now))
		k.send(&p, false)
	}
	k.Delay = 0 // those under way still come first
	k.send(&p, false)
	k.turn(1000)
	if len(s.arrived) != 101 {
		t.Fatalf("%d of 101 arrived", len(s.arrived))
	}
	for i, at := range s.arrived[:100] {
		if at != time.Duration(i+10) {
			t.Errorf("sent at %d, arrived at %d", i, at)
		}
	}
	if s.arrived[100] != 109 {
		t.Errorf("overtook: arrived at %d", s.arrived[100])
	}
	k.send(&p, false)
	if len(s.arrived) != 102 {
		t.Error("waits without delay")
	}
}

func TestLinkJitter(t *testing.T) {
	k, s := newTestLink(Link{Delay: 100, Jitter: 50})
	p := udp(inside1, outside1)
	for range 1000 {
		k.send(&p, false)
	}
	k.turn(1000)
	first, last := s.arrived[0], s.arrived[len(s.arrived)-1]
	if len(s.arrived) != 1000 || first < 100 || first > 101 || last >= 150 || last < 148 {
		t.Errorf("%d arrived between %d and %d", len(s.arrived), first, last)
	}
}

func TestLinkBounds(t *testing.T) {
	k, s := newTestLink(Link{Loss: 1})
	p := udp(inside1, outside1)
	k.send(&p, false)
	k.Loss, k.cut = 0, true
	k.send(&p, false)
	k.cut, k.Delay = false, 10
	for round := range 2 { // the room is free again once they have arrived
		for range maxQueued + 5 {
			k.send(&p, false)
		}
		k.turn(k.lab.now + 10)
		if want := (round + 1) * maxQueued; len(s.arrived) != want {
			t.Errorf("%d arrived, want %d", len(s.arrived), want)
		}
	}
}
