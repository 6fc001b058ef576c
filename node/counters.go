package node

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

const (
	// samplePeriod is how often the counter of a NAT that has one is looked
	// at, which costs a connection to a STUN server; firstSample is how soon
	// after the first look the second one follows.
	samplePeriod = 20 * time.Second
	firstSample  = time.Second
	// idlePeriod is how often it is looked whether there is a counter at all.
	idlePeriod = 5 * time.Second
	// driftPerMapping is how many ports others may have taken since the last
	// look, on average and for each mapping that the punch makes, so that the
	// next port need not be looked up: by Poisson's law the mappings cover what
	// comes in 98 of 100 cases or more.
	driftPerMapping = 1.0 / 8
)

// counters follow the port counters of our NATs in the background, so that a
// punch can begin without looking its mapping up first.
type counters struct {
	wake   chan struct{}
	mu     sync.Mutex
	m      map[netip.Addr]*followed
	probes map[netip.Addr]int // under way, each of which takes ports of its own
}

// followed is one counter. A sample that was begun before a punch took ports of
// its own, or while it did, says nothing about the next port.
type followed struct {
	nat.Counter
	punches int // under way
	changes int // of punches, so far
}

func newCounters() *counters {
	return &counters{wake: make(chan struct{}, 1), m: make(map[netip.Addr]*followed), probes: make(map[netip.Addr]int)}
}

// of gives the counter of the NAT before local; the mutex is held.
func (c *counters) of(local netip.Addr, r nat.Report) *followed {
	f := c.m[local]
	if f == nil || f.Step != r.Delta.Value {
		f = &followed{Counter: nat.Counter{Step: r.Delta.Value}}
		c.m[local] = f
	}
	f.Ports = r.TCP.Ports
	return f
}

// sample has look take a sample, and counts it where no punch came in between.
func (c *counters) sample(local netip.Addr, r nat.Report, look func() (nat.Mapping, error)) bool {
	c.mu.Lock()
	f := c.of(local, r)
	before := f.changes
	idle := f.punches == 0 && c.probes[local] == 0
	c.mu.Unlock()
	if !idle {
		return false
	}
	m, err := look()
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.changes != before {
		return false
	}
	f.Counter = f.Add(m)
	return true
}

// draw gives the last sample where the next ports, so many of them, can be told
// from it. The caller takes them, and calls done when it has.
func (c *counters) draw(local netip.Addr, r nat.Report, mappings int, now time.Time) (m nat.Mapping, done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.of(local, r)
	drift, ok := f.Drift(now)
	if !ok || f.punches > 0 || c.probes[local] > 0 || drift > driftPerMapping*float64(mappings) {
		return nat.Mapping{}, nil, false
	}
	m = f.Last // taking forgets it
	return m, c.take(f), true
}

// looked takes the sample that a punch has looked up itself, which takes ports
// next, and calls done when it has.
func (c *counters) looked(local netip.Addr, r nat.Report, m nat.Mapping) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.of(local, r)
	if f.punches == 0 && c.probes[local] == 0 {
		f.Counter = f.Add(m)
	}
	return c.take(f)
}

// take begins a punch; the mutex is held. The end of it asks for a new sample.
func (c *counters) take(f *followed) (done func()) {
	f.punches++
	f.changes++
	f.Counter = f.Skip()
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		f.punches--
		f.changes++
		c.resample()
	})
}

// resample asks for a new sample.
func (c *counters) resample() {
	select {
	case c.wake <- struct{}{}:
	default: // one is asked for already
	}
}

// probing begins a probe of the NAT before local, which takes ports from its
// counter: no sample counts from then on until done is called.
func (c *counters) probing(local netip.Addr) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes[local]++
	c.forget(local)
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.probes[local]--; c.probes[local] == 0 {
			delete(c.probes, local)
		}
		c.forget(local)
		c.resample()
	})
}

// forget drops the last sample and any that is being taken; the mutex is held.
func (c *counters) forget(local netip.Addr) {
	if f := c.m[local]; f != nil {
		f.changes++
		f.Counter = f.Skip()
	}
}

// counts reports whether the NAT of a report draws its ports from a counter.
func counts(r nat.Report) bool {
	return r.Type == nat.Symmetric && r.Delta.Kind == nat.Independent
}

// sampleCounters looks at the counters of all places until the node ends.
func (n *Node) sampleCounters() {
	looks := 0
	for {
		next := idlePeriod
		for _, p := range n.around.places() {
			r := n.around.report(p.addr)
			if !counts(r) || n.noTCP() {
				continue
			}
			ok := n.counters.sample(p.addr, r, func() (nat.Mapping, error) {
				held, err := n.lookUp(n.ctx, p.addr, r, 1)
				if err != nil {
					return nat.Mapping{}, err
				}
				defer held.Close()
				return held.Mapping(), nil
			})
			if !ok {
				continue
			}
			if looks++; looks == 1 {
				next = firstSample
			} else {
				next = samplePeriod
			}
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-n.counters.wake:
			timer.Stop()
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
	}
}
