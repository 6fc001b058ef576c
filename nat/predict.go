package nat

import (
	"cmp"
	"math"
	"slices"
)

// Basis is what is known when a port is to be predicted.
type Basis struct {
	Type  Type
	Delta Delta
	// Last is the freshest mapping over the same transport; zero where none
	// was probed. Only the ports of Local and External count.
	Last Mapping
	// Local is the local port that will be used.
	Local uint16
	// Between is how many new mappings of our own the NAT will have made
	// between Last and the one that is predicted: i for the i-th further
	// socket of several that are opened in a row, 0 for the first.
	Between int
	// Foreign is how many ports others will have taken meanwhile, on average:
	// their rate × the time since Last. Default 0.25.
	Foreign float64
	// Ports is the range in which the NAT's counter wraps. Default: 1024 to
	// 65535.
	Ports PortRange
	// Most is how many predictions are wanted. Default 8, at most 64.
	Most int
}

// Prediction is a port that the NAT may use next, and how likely that is.
type Prediction struct {
	Port   uint16
	Chance float64 // 0 to 1; those of one Predict add up to 1 at most
}

// Predict says which external port the mapping from local port b.Local to a
// new peer will have, likeliest first. It is empty where that can't be known:
// a symmetric NAT with random ports, a step that depends on a local port other
// than the one used, or no fresh mapping where one is needed.
//
// It follows the reference's table: an endpoint-independent mapping that was
// just probed stays; Equal gives the local port; Preserving keeps the distance
// between local ports; Independent and Dependent go up by their step. Beyond
// it, it names the ports that follow if others draw from the same counter,
// weighted by Poisson's law, and wraps inside b.Ports.
func Predict(b Basis) []Prediction {
	if b.Local == 0 {
		return nil
	}
	if b.Foreign <= 0 || math.IsNaN(b.Foreign) {
		b.Foreign = 0.25
	}
	if b.Ports.Size() == 0 {
		b.Ports = PortRange{1024, math.MaxUint16}
	}
	if b.Most <= 0 {
		b.Most = 8
	}
	b.Most = min(b.Most, 64)
	b.Between = min(max(b.Between, 0), math.MaxUint16)
	out := slices.DeleteFunc(b.predict(), func(p Prediction) bool { return p.Port == 0 || p.Chance < 1e-6 })
	slices.SortStableFunc(out, func(p, q Prediction) int { return cmp.Compare(q.Chance, p.Chance) })
	seen := map[uint16]bool{}
	out = slices.DeleteFunc(out, func(p Prediction) bool {
		dup := seen[p.Port]
		seen[p.Port] = true
		return dup
	})
	return out[:min(len(out), b.Most)]
}

func (b Basis) predict() []Prediction {
	last, known := int(b.Last.External.Port()), b.Last.Local.Port() != 0 && b.Last.External.Port() != 0
	ahead := int(b.Local) - int(b.Last.Local.Port()) // local ports further on
	switch {
	case b.Type == Open, b.Type == SymmetricFirewall, b.Delta.Kind == NotApplicable:
		return []Prediction{{b.Local, 1}}
	case b.Type == Blocked, b.Type == TypeUnknown:
		return nil
	case known && ahead == 0 && b.Type != Symmetric:
		return []Prediction{{uint16(last), 1}} // the mapping is there already
	case b.Delta.Kind == Equal:
		if known && ahead == 0 {
			// The port of that number is taken by Last itself.
			return b.nearby(int(b.Local), 0)
		}
		return b.nearby(int(b.Local), 0.9)
	case !known:
		return nil
	case b.Delta.Kind == Preserving && ahead != 0:
		return b.nearby(last+ahead, 0.9)
	case b.Delta.Kind == Preserving:
		return b.nearby(last, 0)
	case b.Delta.Kind == Independent:
		return b.counted(last, b.Between+1)
	case b.Delta.Kind == Dependent && ahead == b.Between+1:
		return b.counted(last, ahead)
	}
	return nil
}

// nearby gives port with the chance first, and the next free ones above it,
// which a NAT takes if that is in use.
func (b Basis) nearby(port int, first float64) []Prediction {
	out := []Prediction{{b.wrap(port), first}}
	left := 1 - first
	for i := 1; i < b.Most+1; i++ {
		left /= 2
		out = append(out, Prediction{b.wrap(port + i), left})
	}
	return out
}

// counted gives the ports that are at least n steps of the counter ahead:
// more by one for each port that others take.
func (b Basis) counted(last, n int) []Prediction {
	chance := math.Exp(-b.Foreign)
	var out []Prediction
	for i := range 4 * b.Most {
		out = append(out, Prediction{b.wrap(last + (n+i)*b.Delta.Value), chance})
		chance *= b.Foreign / float64(i+1)
	}
	return out
}

// wrap brings a port that ran over an end of the range back in. A port that
// was seen outside the range widens it.
func (b Basis) wrap(port int) uint16 {
	r := b.Ports
	if e := b.Last.External.Port(); e != 0 {
		r.Lo, r.Hi = min(r.Lo, e), max(r.Hi, e)
	}
	if b.Delta.Kind == Equal && port > 0 && port <= math.MaxUint16 {
		return uint16(port) // the local port, whatever range others saw
	}
	return r.Wrap(port)
}
