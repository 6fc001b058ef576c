// Package memory remembers which ways led from one network to another, so that
// they can be tried first the next time. It is a hint and no more: whoever
// follows it must still try everything else.
//
// A file of it, by Save, is JSON:
//
//	{"version": 1, "pairs": [{"pair": "<32 hex digits>", "ways": [
//	  {"strategy": "punch", "method": "timed", "anew": true,
//	   "worked": 3, "failed": 0, "last_worked": 1770000000, "last_failed": 0}]}]}
//
// Pairs are keyed hashes (see Name), so that the file tells nobody who was
// called from where. Times are Unix seconds, 0 is never; failed counts since
// the way last worked.
package memory

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// MaxPairs bounds a memory; the pair that was learnt of longest ago goes
	// first.
	MaxPairs = 512
	// MaxWays bounds what is remembered of one pair.
	MaxWays = 12
	// Lasts is how long what was met counts. Networks change.
	Lasts = 30 * 24 * time.Hour
	// maxCount is where counting ends.
	maxCount = 1_000_000
)

// Pair stands for our network and a peer in its network; see Name.
type Pair [16]byte

// Way is how a connection is tried.
type Way struct {
	Strategy string `json:"strategy"`         // 1 to 16 of [a-z]
	Method   string `json:"method,omitempty"` // of a punch; 0 to 16 of [a-z]
	Anew     bool   `json:"anew,omitempty"`   // a punch from ports that were mapped for it
}

// record is what is known of a way.
type record struct {
	way                    Way
	worked                 int
	failed                 int // since it last worked
	lastWorked, lastFailed time.Time
}

func (r record) last() time.Time { return later(r.lastWorked, r.lastFailed) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Memory holds at most MaxPairs pairs. The zero value is empty and ready. It is
// safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	pairs map[Pair][]record
}

// Learn takes over what was met at now: ways that failed, and the one that
// worked, if any did.
func (m *Memory) Learn(now time.Time, p Pair, worked *Way, failed ...Way) {
	now = now.Truncate(time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	ways := m.pairs[p]
	for _, w := range failed {
		if w.valid() && (worked == nil || w != *worked) {
			ways = amend(ways, w, func(r *record) { r.failed, r.lastFailed = min(r.failed+1, maxCount), now })
		}
	}
	if worked != nil && worked.valid() {
		ways = amend(ways, *worked, func(r *record) { r.worked, r.failed, r.lastWorked = min(r.worked+1, maxCount), 0, now })
	}
	m.set(p, ways)
	m.prune(now)
}

// amend changes the record of a way, which it makes if there is none.
func amend(ways []record, w Way, change func(*record)) []record {
	k := slices.IndexFunc(ways, func(r record) bool { return r.way == w })
	if k < 0 {
		k, ways = len(ways), append(ways, record{way: w})
	}
	change(&ways[k])
	return ways
}

// set makes ways what is known of p; the mutex is held.
func (m *Memory) set(p Pair, ways []record) {
	if m.pairs == nil {
		m.pairs = make(map[Pair][]record)
	}
	m.pairs[p] = ways
}

// prune forgets what is too old or too much; the mutex is held.
func (m *Memory) prune(now time.Time) {
	for p, ways := range m.pairs {
		ways = slices.DeleteFunc(ways, func(r record) bool { return expired(now, r.last()) })
		if len(ways) > MaxWays {
			slices.SortStableFunc(ways, func(a, b record) int { return b.last().Compare(a.last()) })
			ways = ways[:MaxWays]
		}
		if m.pairs[p] = ways; len(ways) == 0 {
			delete(m.pairs, p)
		}
	}
	if len(m.pairs) <= MaxPairs {
		return
	}
	order := m.order()
	for _, p := range order[MaxPairs:] {
		delete(m.pairs, p)
	}
}

// expired reports whether something of then counts no more. The future does
// not count either: a clock that was wrong would make it last for ever.
func expired(now, then time.Time) bool {
	age := now.Sub(then)
	return age > Lasts || age < -24*time.Hour
}

// order lists the pairs, those first of which something was learnt last; the
// mutex is held.
func (m *Memory) order() []Pair {
	last := make(map[Pair]time.Time, len(m.pairs))
	all := make([]Pair, 0, len(m.pairs))
	for p, ways := range m.pairs {
		for _, r := range ways {
			last[p] = later(last[p], r.last())
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Pair) int {
		return cmp.Or(last[b].Compare(last[a]), slices.Compare(a[:], b[:]))
	})
	return all
}

// Len is how many pairs are remembered.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pairs)
}

// merge takes over from other whatever is newer there.
func (m *Memory) merge(now time.Time, other *Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, theirs := range other.pairs {
		ways := m.pairs[p]
		for _, r := range theirs {
			ways = amend(ways, r.way, func(ours *record) {
				if r.last().After(ours.last()) {
					*ours = r
				}
			})
		}
		m.set(p, ways)
	}
	m.prune(now)
}

func (w Way) valid() bool { return w.Strategy != "" && word(w.Strategy) && word(w.Method) }

// word reports whether s is a short word in lower case, or nothing.
func word(s string) bool {
	return len(s) <= 16 && !slices.ContainsFunc([]byte(s), func(b byte) bool { return b < 'a' || b > 'z' })
}
