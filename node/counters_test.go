package node

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

var plusOne = nat.Report{Type: nat.Symmetric, Delta: nat.Delta{Kind: nat.Independent, Value: 1}}

// seenAt is what a server saw at so many seconds.
func seenAt(seconds int, port uint16) nat.Mapping {
	return nat.Mapping{
		Local:    netip.MustParseAddrPort("192.168.1.2:40000"),
		External: netip.AddrPortFrom(netip.MustParseAddr("52.1.1.1"), port),
		Server:   netip.MustParseAddrPort("51.1.1.1:3478"),
		At:       time.Unix(int64(1000+seconds), 0),
	}
}

func TestCountersForesee(t *testing.T) {
	local := netip.MustParseAddr("192.168.1.2")
	c := newCounters()
	look := func(m nat.Mapping) func() (nat.Mapping, error) {
		return func() (nat.Mapping, error) { return m, nil }
	}
	if _, _, ok := c.draw(local, plusOne, spread, seenAt(0, 1).At); ok {
		t.Fatal("foreseen from nothing")
	}
	c.sample(local, plusOne, look(seenAt(0, 5000)))
	c.sample(local, plusOne, look(seenAt(20, 5001)))
	m, done, ok := c.draw(local, plusOne, spread, seenAt(30, 1).At)
	if !ok || m != seenAt(20, 5001) {
		t.Fatalf("a quiet counter gave %v, %v", m, ok)
	}
	// While that punch takes its ports, and until they have been looked past,
	// nothing is known.
	if _, _, ok := c.draw(local, plusOne, spread, seenAt(30, 1).At); ok {
		t.Error("two punches draw the same ports")
	}
	if c.sample(local, plusOne, look(seenAt(31, 5002))) {
		t.Error("a sample in the middle of a punch counts")
	}
	done()
	done() // does no harm
	select {
	case <-c.wake:
	default:
		t.Error("the end of a punch asks for no sample")
	}
	if _, _, ok := c.draw(local, plusOne, spread, seenAt(32, 1).At); ok {
		t.Error("foreseen although our own ports have moved the counter")
	}
	c.sample(local, plusOne, look(seenAt(33, 5010)))
	if m, _, ok := c.draw(local, plusOne, spread, seenAt(34, 1).At); !ok || m.External.Port() != 5010 {
		t.Errorf("after a new sample: %v, %v", m, ok)
	}
}

// A sample that was begun before a punch and ends after it is older than the
// ports that the punch took.
func TestCountersDropAnOvertakenSample(t *testing.T) {
	local := netip.MustParseAddr("192.168.1.2")
	c := newCounters()
	ok := c.sample(local, plusOne, func() (nat.Mapping, error) {
		c.looked(local, plusOne, seenAt(1, 5001))()
		return seenAt(0, 5000), nil
	})
	if ok {
		t.Error("it counts")
	}
}

// Our own probes take ports as well: what was sampled before or meanwhile says
// nothing, and what they took is not counted as taken by others.
func TestCountersMindOurProbes(t *testing.T) {
	local := netip.MustParseAddr("192.168.1.2")
	c := newCounters()
	sample := func(second int, port uint16) bool {
		return c.sample(local, plusOne, func() (nat.Mapping, error) { return seenAt(second, port), nil })
	}
	foreseen := func(second int) bool {
		_, done, ok := c.draw(local, plusOne, spread, seenAt(second, 1).At)
		if ok {
			done()
		}
		return ok
	}
	sample(0, 5000)
	sample(20, 5001)
	done := c.probing(local)
	if foreseen(21) {
		t.Error("foreseen in the midst of a probe")
	}
	if sample(21, 5003) {
		t.Error("a sample in the midst of a probe counts")
	}
	done()
	select {
	case <-c.wake:
	default:
		t.Error("the end of a probe asks for no sample")
	}
	if foreseen(22) {
		t.Error("foreseen from before a probe")
	}
	if !sample(23, 5020) || !foreseen(24) {
		t.Error("not foreseen though a sample followed the probe")
	}
	if c.sample(local, plusOne, func() (nat.Mapping, error) {
		c.probing(local)()
		return seenAt(25, 5021), nil
	}) {
		t.Error("a sample that a probe has overtaken counts")
	}
}

func TestCountersMindTheNoise(t *testing.T) {
	local := netip.MustParseAddr("192.168.1.2")
	c := newCounters()
	for k := range 4 {
		m := seenAt(k, uint16(5000+21*k)) // twenty a second are taken by others
		c.sample(local, plusOne, func() (nat.Mapping, error) { return m, nil })
	}
	if _, _, ok := c.draw(local, plusOne, spread, seenAt(4, 1).At); ok {
		t.Error("a busy counter is taken for a quiet one")
	}
}
