package natlab

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// allocator chooses the external ports of one transport.
type allocator struct {
	delta   nat.Delta
	lo, n   int        // the range starts at lo and holds n ports
	rng     *rand.Rand // the box's own
	offset  int        // Preserving: external = local + offset
	last    int        // Independent: the port taken last, by anyone
	recent  map[netip.Addr]neighbour
	foreign float64       // other hosts' allocations a second
	arrival time.Duration // when the next of them comes
}

// neighbour is what Dependent remembers of an inner host.
type neighbour struct{ local, external int }

func newAllocator(c NAT, rng *rand.Rand) *allocator {
	a := &allocator{delta: c.Ports, lo: int(c.Range[0]), rng: rng, recent: map[netip.Addr]neighbour{}, foreign: c.Foreign}
	a.n = int(c.Range[1]) - a.lo + 1
	a.last = a.random()
	a.offset = 1 + rng.IntN(max(a.n-1, 1))
	return a
}

// next chooses a port for a new mapping of inner, at the time now. It is false
// if every port is taken.
func (a *allocator) next(now time.Duration, inner netip.AddrPort, free func(uint16) bool) (uint16, bool) {
	local, port := int(inner.Port()), 0
	switch a.delta.Kind {
	case nat.Equal:
		port = local
	case nat.Preserving:
		port = a.wrap(local + a.offset)
	case nat.Independent:
		a.passForeign(now)
		port = a.wrap(a.last + a.delta.Value)
		for tries := 0; tries < a.n && !free(uint16(port)); tries++ {
			port = a.wrap(port + a.delta.Value)
		}
	case nat.Dependent:
		port = a.random()
		if r, ok := a.recent[inner.Addr()]; ok && local == r.local+1 {
			port = a.wrap(r.external + a.delta.Value)
		}
	default:
		port = a.random()
	}
	if port < a.lo || port >= a.lo+a.n || !free(uint16(port)) {
		// Any free port, from a random start, so that a collision tells nothing.
		start, tries := a.random(), 0
		for port = start; !free(uint16(port)); port = a.wrap(port + 1) {
			if tries++; tries == a.n {
				return 0, false
			}
		}
	}
	a.last = port
	a.recent[inner.Addr()] = neighbour{local, port}
	return uint16(port), true
}

// passForeign moves the counter by what other hosts have taken up to now. The
// ports they hold are not remembered: among 64512 they are seldom in the way.
func (a *allocator) passForeign(now time.Duration) {
	if a.foreign == 0 {
		return
	}
	gap := func() time.Duration { return time.Duration(a.rng.ExpFloat64() / a.foreign * float64(time.Second)) }
	if a.arrival == 0 {
		a.arrival = now + gap()
	}
	for steps := 0; a.arrival <= now; steps++ {
		if steps == a.n { // a whole round: where the counter stands is anyone's guess
			a.last, a.arrival = a.random(), now+gap()
			return
		}
		a.last = a.wrap(a.last + a.delta.Value)
		a.arrival += gap()
	}
}

func (a *allocator) random() int { return a.lo + a.rng.IntN(a.n) }

// wrap brings a port back into the range.
func (a *allocator) wrap(port int) int { return a.lo + ((port-a.lo)%a.n+a.n)%a.n }
