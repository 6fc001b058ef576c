package memory

import "time"

// enough is how many failures in a row tell more than bad luck.
const enough = 2

// Advice is what experience says about a pair. The zero value says nothing.
type Advice struct {
	ways []record
}

// Advise gives what counts at now.
func (m *Memory) Advise(now time.Time, p Pair) Advice {
	m.mu.Lock()
	defer m.mu.Unlock()
	var a Advice
	for _, r := range m.pairs[p] {
		if !expired(now, r.last()) {
			a.ways = append(a.ways, r)
		}
	}
	return a
}

// Empty reports whether there is no experience.
func (a Advice) Empty() bool { return len(a.ways) == 0 }

func (a Advice) record(w Way) record {
	for _, r := range a.ways {
		if r.way == w {
			return r
		}
	}
	return record{way: w}
}

// Works reports whether w has worked and has not failed since.
func (a Advice) Works(w Way) bool {
	r := a.record(w)
	return r.worked > 0 && r.failed == 0
}

// Hopeless reports whether w has never worked, again and again, where something
// else did.
func (a Advice) Hopeless(w Way) bool {
	r := a.record(w)
	if r.worked > 0 || r.failed < enough {
		return false
	}
	for _, other := range a.ways {
		if other.worked > 0 && other.failed < enough {
			return true
		}
	}
	return false
}

// Rather reports whether instead works and w is hopeless.
func (a Advice) Rather(w, instead Way) bool { return a.Hopeless(w) && a.Works(instead) }
