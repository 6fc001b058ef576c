package nat

import "fmt"

// DeltaKind is the way in which a NAT's external ports follow from the local
// ports or from one another, numbered as P2PD numbers it in addresses.
type DeltaKind uint8

const (
	DeltaUnknown  DeltaKind = iota // never written in an address
	NotApplicable                  // no NAT
	Equal                          // external port = local port
	Preserving                     // the distance between local ports is kept
	Independent                    // every new mapping = the last one + Value
	Dependent                      // last + Value, only as the local port goes up by 1
	Random                         // no pattern
)

var deltaNames = [...]string{
	"unknown", "not applicable", "equal", "preserving", "independent", "dependent", "random",
}

// String gives the name in lower case.
func (k DeltaKind) String() string {
	if int(k) < len(deltaNames) {
		return deltaNames[k]
	}
	return fmt.Sprintf("nat.DeltaKind(%d)", uint8(k))
}

// Valid reports whether k may stand in an address: 1 to 6.
func (k DeltaKind) Valid() bool { return k >= NotApplicable && k <= Random }

// Delta is a DeltaKind with its step. Value is meaningful for Independent and
// Dependent only, lies in [-32768, 32767], and is 0 otherwise.
type Delta struct {
	Kind  DeltaKind
	Value int
}

// String prints the kind, and the step with its sign where there is one.
func (d Delta) String() string {
	if d.Kind == Independent || d.Kind == Dependent {
		return fmt.Sprintf("%s %+d", d.Kind, d.Value)
	}
	return d.Kind.String()
}

// Predictable reports whether the next external port can be computed from a
// mapping seen a moment ago.
func (d Delta) Predictable() bool { return d.Kind >= NotApplicable && d.Kind <= Dependent }
