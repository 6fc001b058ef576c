package node_test

import (
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// terrain is a kind of network that a peer may live in.
type terrain struct {
	name string
	nat  *natlab.NAT // nil: on the internet itself
}

// The kinds of networks, as TCP sees them: five that map a port to the same
// external port for every peer (or to itself), and six that map it anew for
// each, by the rule with which they choose. All that translate filter by
// address and port, where the name does not say otherwise.
var (
	open           = terrain{name: "open"}
	firewall       = terrain{"firewall", &natlab.NAT{Firewall: true}}
	fullCone       = terrain{"full cone", &natlab.NAT{Filtering: nat.EndpointIndependent}}
	restricted     = terrain{"restricted", &natlab.NAT{Filtering: nat.AddressDependent}}
	home           = terrain{"port-restricted", &natlab.NAT{}}
	preserving     = terrain{"symmetric preserving", symmetric(nat.Preserving, 0)}
	plusOne        = terrain{"symmetric +1", symmetric(nat.Independent, 1)}
	plusTwo        = terrain{"symmetric +2", symmetric(nat.Independent, 2)}
	minusOne       = terrain{"symmetric -1", symmetric(nat.Independent, -1)}
	dependent      = terrain{"symmetric dependent +1", symmetric(nat.Dependent, 1)}
	random         = terrain{"symmetric random", symmetric(nat.Random, 0)}
	kernel         = terrain{"kernel masquerade", &natlab.NAT{Kernel: true}}
	refusesCrossed = terrain{"port-restricted without simultaneous open", &natlab.NAT{NoSimultaneousOpen: true}}
)

// terrains are the rows and the columns of the matrix.
var terrains = []terrain{
	open, firewall, fullCone, restricted, home,
	preserving, plusOne, plusTwo, minusOne, dependent, random,
}

// takesStrangers reports whether anybody may dial in once the port is mapped.
func (t terrain) takesStrangers() bool {
	return t.nat == nil || t.nat.Filtering == nat.EndpointIndependent
}

func (t terrain) symmetric() bool {
	return t.nat != nil && t.nat.Mapping == nat.AddressAndPortDependent
}

func (t terrain) random() bool { return t.symmetric() && t.nat.Ports.Kind == nat.Random }

// refusals are how the NATs of a cell answer strangers.
var refusals = []natlab.Refusal{natlab.Drop, natlab.RST, natlab.PortICMP}

// cell is one field of the matrix: a caller and a callee in their networks.
type cell struct {
	caller, callee terrain
	refuse         natlab.Refusal // of the NATs on both sides
}

func (c cell) String() string {
	s := fmt.Sprintf("%s × %s", c.caller.name, c.callee.name)
	if c.caller.nat != nil || c.callee.nat != nil {
		s += ", " + refusalName(c.refuse)
	}
	return s
}

func refusalName(r natlab.Refusal) string {
	switch r {
	case natlab.RST:
		return "RST"
	case natlab.PortICMP:
		return "ICMP"
	}
	return r.String()
}

// class is how a cell is overcome, by theory.
type class string

const (
	directly   class = "direct"    // the callee takes strangers in
	reversed   class = "reverse"   // the caller does
	standing   class = "standing"  // both mappings stand: one message
	predicted  class = "predicted" // a mapping must be looked up and the next one computed
	twice      class = "predicted, both ends"
	inward     class = "inward"     // the port of one end can't be known, but the other lets its address in
	birthday   class = "birthday"   // the port of one end can't be known, and must be hit
	impossible class = "impossible" // nobody can know where to dial
)

// classes in the order of the report.
var classes = []class{directly, reversed, standing, predicted, twice, inward, birthday, impossible}

// class says what theory has for the cell.
func (c cell) class() class {
	a, b := c.caller, c.callee
	crossed := func(t terrain) bool { return t.nat != nil && t.nat.NoSimultaneousOpen }
	other := b
	if b.random() {
		other = a
	}
	switch {
	case b.takesStrangers():
		return directly
	case a.takesStrangers():
		return reversed
	case crossed(a) && crossed(b):
		return impossible
	case a.random() && b.symmetric(), b.random() && a.symmetric():
		return impossible
	case !a.random() && !b.random() && a.symmetric() && b.symmetric():
		return twice
	case !a.random() && !b.random() && (a.symmetric() || b.symmetric()):
		return predicted
	case !a.random() && !b.random():
		return standing
	case other.nat.Filtering == nat.AddressDependent:
		return inward
	}
	return birthday
}

// goal is the median time to the first echo that the class is held to, in the
// lab's geometry; 0 where none is.
func (c class) goal() time.Duration {
	const s, p, margin = oneWayVia, oneWayPath, 1.05
	exchange := 4 * (accessLink + serverLink) // SYN, SYN-ACK, request, answer
	var d time.Duration
	switch c {
	case standing, directly, reversed, inward:
		d = s + 7*p
	case predicted, twice:
		d = 2*s + 6*p + exchange
	case birthday:
		return 600 * time.Millisecond
	}
	return time.Duration(margin * float64(d))
}

// wholeMatrix lists every cell.
func wholeMatrix() []cell {
	var all []cell
	for _, refuse := range refusals {
		for _, a := range terrains {
			for _, b := range terrains {
				if a.nat == nil && b.nat == nil && refuse != natlab.Drop {
					continue // no NAT to refuse anything
				}
				all = append(all, cell{a, b, refuse})
			}
		}
		all = append(all, cell{refusesCrossed, refusesCrossed, refuse})
	}
	return all
}

// quickMatrix is one cell of each class at least, and the traps among them.
func quickMatrix() []cell {
	return []cell{
		{open, open, natlab.Drop},
		{plusOne, fullCone, natlab.PortICMP},
		{open, home, natlab.Drop},
		{fullCone, random, natlab.RST},
		{home, firewall, natlab.Drop},
		{home, home, natlab.RST},
		{restricted, restricted, natlab.PortICMP},
		{restricted, plusOne, natlab.RST},
		{minusOne, home, natlab.PortICMP},
		{plusTwo, preserving, natlab.Drop},
		{dependent, home, natlab.Drop},
		{random, restricted, natlab.Drop},
		{random, home, natlab.RST},
		{random, plusOne, natlab.Drop},
	}
}

// theDozen are the cells that must also stand bad weather.
func theDozen() []cell {
	return []cell{
		{home, home, natlab.Drop},
		{home, home, natlab.RST},
		{restricted, home, natlab.PortICMP},
		{home, open, natlab.Drop},
		{fullCone, home, natlab.RST},
		{plusOne, home, natlab.Drop},
		{home, plusOne, natlab.RST},
		{plusOne, plusOne, natlab.Drop},
		{home, preserving, natlab.Drop},
		{dependent, restricted, natlab.Drop},
		{random, fullCone, natlab.Drop},
		{random, restricted, natlab.Drop},
	}
}
