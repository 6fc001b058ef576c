package natlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// upper is what a link leads up to: the internet or a box.
type upper interface {
	fromBelow(p *packet, from *link)
	attach(a netip.Addr, k *link) bool // routes a to k; false if a is taken
	detach(a netip.Addr)
	networks(want Stack, forBox bool) (networks, bool) // in which a new child gets its addresses; false if there are none
}

// lower is what a link leads down to: a box or a host.
type lower interface {
	fromAbove(p *packet)
}

// maxQueued bounds the packets under way on one link in one direction: a
// second at 300 Mbit/s.
const maxQueued = 1 << 15

// link joins a host or a box to what is above it. The lab's lock guards it.
type link struct {
	Link
	lab    *Lab
	parent upper
	child  lower
	nets   networks
	cut    bool
	rng    [2]*rand.Rand    // by direction, so that one draws the same whatever the other does
	last   [2]time.Duration // latest arrival
	queued [2]int
}

// join links child to what it is behind, with n addresses of each family.
func (l *Lab) join(child lower, behind *Box, want Stack, n int, quality Link) (*link, []netip.Addr, error) {
	if err := quality.check(); err != nil {
		return nil, nil, err
	}
	parent := upper(l.core)
	if behind != nil {
		if behind.lab != l {
			return nil, nil, fmt.Errorf("behind %q, which is of another lab", behind.cfg.Name)
		}
		parent = behind
	}
	_, forBox := child.(*Box)
	nets, ok := parent.networks(want, forBox)
	switch {
	case !ok && behind != nil && want.has6():
		return nil, nil, fmt.Errorf("behind %q, which has no IPv6", behind.cfg.Name)
	case !ok:
		return nil, nil, errFull
	}
	k := &link{Link: quality, lab: l, parent: parent, child: child, nets: nets, rng: [2]*rand.Rand{l.random(), l.random()}}
	var addrs []netip.Addr
	for _, s := range nets.each() {
		more, err := k.number(s, n)
		if err != nil {
			k.release(addrs)
			return nil, nil, err
		}
		addrs = append(addrs, more...)
	}
	return k, addrs, nil
}

var errFull = errors.New("no network left on the internet")

// gateway is the parent's address on this link, of the packet's family; zero
// where the link does not have that.
func (k *link) gateway(p *packet) netip.Addr {
	s := k.nets.v4
	if p.six() {
		if s = k.nets.v6; s == nil || k.nets.ula != nil && (p.src.Addr().IsPrivate() || p.dst.Addr().IsPrivate()) {
			s = k.nets.ula
		}
	}
	if s == nil {
		return netip.Addr{}
	}
	return s.gateway()
}

// number gives the link's child n addresses in s.
func (k *link) number(s *subnet, n int) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for range n {
		a, ok := s.take()
		if !ok {
			k.release(addrs)
			return nil, fmt.Errorf("network %v is full", s.prefix)
		}
		if !k.parent.attach(a, k) {
			k.release(addrs)
			return nil, fmt.Errorf("address %v is taken", a)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// release ends the routes to addresses that number gave.
func (k *link) release(addrs []netip.Addr) {
	for _, a := range addrs {
		k.parent.detach(a)
	}
}

// direction indexes the arrays of a link.
func direction(down bool) int {
	if down {
		return 1
	}
	return 0
}

// send carries p to the other end, now or, by way of the queue, later.
func (k *link) send(p *packet, down bool) {
	way, at := direction(down), k.lab.now+k.Delay
	if k.cut || k.Loss > 0 && k.rng[way].Float64() < k.Loss {
		return
	}
	if k.Jitter > 0 {
		at += time.Duration(k.rng[way].Int64N(int64(k.Jitter)))
	} else {
		at = max(at, k.last[way])
	}
	k.last[way] = max(at, k.last[way])
	if at <= k.lab.now && k.queued[way] == 0 {
		k.arrive(p, down)
		return
	}
	if k.queued[way] < maxQueued {
		k.queued[way]++
		k.lab.schedule(event{at: at, link: k, down: down, p: p.clone()})
	}
}

func (k *link) arrive(p *packet, down bool) {
	if down {
		k.child.fromAbove(p)
	} else {
		k.parent.fromBelow(p, k)
	}
}

// set changes the link's quality.
func (k *link) set(quality Link) error {
	if err := quality.check(); err != nil {
		return err
	}
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	k.Link = quality
	return nil
}

func (k *link) setCut(cut bool) {
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	k.cut = cut
}
