package signaling

import "github.com/sallyport-net/sallyport/address"

// Level is how far a sender is trusted.
type Level uint8

const (
	Stranger Level = iota // not admitted: it gets no answer of any kind
	Open                  // admitted because everyone is
	Listed                // admitted by name
)

// String gives the name in lower case.
func (l Level) String() string {
	switch l {
	case Open:
		return "open"
	case Listed:
		return "listed"
	}
	return "stranger"
}

// Admission says who is answered. The zero value admits nobody, as befits a
// node that never accepts. Values are not changed once made.
type Admission struct {
	everyone bool
	listed   map[address.Key]bool
}

// Nobody admits nobody.
func Nobody() Admission { return Admission{} }

// Everyone admits everyone, and those of the list by name.
func Everyone(listed ...address.Key) Admission {
	return Admission{everyone: true, listed: keySet(listed)}
}

// Only admits those of the list, and nobody else.
func Only(listed ...address.Key) Admission { return Admission{listed: keySet(listed)} }

// Level says how far sender is trusted.
func (a Admission) Level(sender address.Key) Level {
	switch {
	case a.listed[sender]:
		return Listed
	case a.everyone && !sender.IsZero():
		return Open
	}
	return Stranger
}

// IsZero reports whether nobody is admitted.
func (a Admission) IsZero() bool { return !a.everyone && len(a.listed) == 0 }

// Everyone reports whether everyone is admitted.
func (a Admission) Everyone() bool { return a.everyone }

func keySet(keys []address.Key) map[address.Key]bool {
	set := make(map[address.Key]bool, len(keys))
	for _, k := range keys {
		if !k.IsZero() {
			set[k] = true
		}
	}
	return set
}
