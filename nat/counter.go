package nat

import (
	"math"
	"time"
)

// Counter follows the counter from which a NAT of Independent delta draws its
// ports, through mappings sampled now and then: from how far it moved between
// two of them follows how many ports others take, and so whether the next port
// can be told without looking it up again. The zero Counter has seen nothing.
// Counters are values.
type Counter struct {
	Step  int       // of the delta
	Ports PortRange // in which it wraps; unknown is 1024 to 65535
	Last  Mapping   // the freshest sample
	moves [counterMemory]move
	seen  int
}

// counterMemory is how many moves a Counter judges by: a neighbour that starts
// to open connections must be noticed within a few.
const counterMemory = 4

type move struct {
	others  float64       // ports that were not ours
	between time.Duration // the samples
}

// Add takes a sample. One that the step does not explain makes the Counter
// begin anew.
func (c Counter) Add(m Mapping) Counter {
	last := c.Last
	c.Last = m
	if !last.Valid() {
		return c
	}
	if last.External.Addr() != m.External.Addr() || !m.At.After(last.At) || c.Step == 0 {
		c.seen = 0
		return c
	}
	taken, ok := c.steps(last.External.Port(), m.External.Port())
	if !ok {
		c.seen = 0
		return c
	}
	copy(c.moves[1:], c.moves[:counterMemory-1])
	c.moves[0] = move{float64(taken - 1), m.At.Sub(last.At)}
	c.seen = min(c.seen+1, counterMemory)
	return c
}

// Skip forgets the last sample, since ports of our own follow it; what is known
// of others stays.
func (c Counter) Skip() Counter {
	c.Last = Mapping{}
	return c
}

// steps is how many ports were drawn from one to the other.
func (c Counter) steps(from, to uint16) (int, bool) {
	r := c.Ports
	if !r.Known() {
		r = PortRange{1024, math.MaxUint16}
	}
	way := int(to) - int(from)
	if c.Step < 0 {
		way = -way
	}
	if way < 0 {
		way += r.Size()
	}
	n := c.Step
	if n < 0 {
		n = -n
	}
	return way / n, way%n == 0 && way > 0
}

// Drift is how many ports others will have taken between the last sample and
// now, on average; ok is false where too little was seen to tell. Half a port
// is added to what was seen, so that a short silence proves little.
func (c Counter) Drift(now time.Time) (ports float64, ok bool) {
	if c.seen == 0 || !c.Last.Valid() {
		return 0, false
	}
	taken, between := 0.5, time.Duration(0)
	for _, m := range c.moves[:c.seen] {
		taken += m.others
		between += m.between
	}
	return taken / between.Seconds() * max(now.Sub(c.Last.At).Seconds(), 0), true
}
