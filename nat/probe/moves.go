package probe

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

const (
	// apart is how many local ports that lie apart are tried, inRow is how
	// many consecutive ones. With the base port it is five each time, as many
	// as the reference wants.
	apart = 4
	inRow = 5
	// The local ports that are drawn: what Linux gives out by itself, but for
	// the ends.
	lowLocal, highLocal = 33000, 60000
)

// burst asks servers in turn from new local ports, as fast as order permits.
type burst func(ctx context.Context, locals []uint16, servers []netip.AddrPort, wait time.Duration) error

// moves sees how external ports follow from local ones: first from ports that
// lie apart, and from consecutive ones where that has shown no pattern. first
// is called when the first are done with.
func (p *prober) moves(ctx context.Context, t nat.Transport, servers []netip.AddrPort, do burst, first func()) {
	defer first()
	judge := func() (nat.MappingVerdict, nat.DeltaVerdict) {
		ms := p.mappings(t)
		m := nat.ClassifyMapping(ms)
		return m, nat.ClassifyDelta(ms, m)
	}
	m, d := judge()
	if d.Delta.Kind == nat.Independent && d.Confidence > 0.8 {
		return // a mapping for each server has shown it already
	}
	if m.Behavior == nat.EndpointIndependent && !m.Translated {
		return // no NAT
	}
	servers = slices.DeleteFunc(slices.Clone(servers), func(s netip.AddrPort) bool { return slices.Contains(m.Lying, s) })
	if len(servers) == 0 {
		return
	}
	var rtts []time.Duration
	for _, s := range p.mappings(t) {
		rtts = append(rtts, s.RTT)
	}
	wait := silence(rtts...)
	if t == nat.TCP {
		wait *= 2 // a handshake comes first
	}
	for _, draw := range []func() []uint16{drawApart, drawRow, drawRow} { // the last one if too much got lost
		for range 3 { // where a port is taken, others are drawn
			if err := do(ctx, draw(), servers, wait); err == nil || ctx.Err() != nil {
				break
			}
		}
		first()
		if _, d := judge(); !d.NeedsConsecutive() {
			return
		}
	}
}

// drawApart draws ports near one another, so that a NAT that keeps distances
// seldom wraps between them, but not neighbours.
func drawApart() []uint16 {
	out := make([]uint16, apart)
	port := lowLocal + rand.IntN(highLocal-lowLocal-100*apart)
	for i := range out {
		port += 5 + rand.IntN(95)
		out[i] = uint16(port)
	}
	rand.Shuffle(apart, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// drawRow draws consecutive ports.
func drawRow() []uint16 {
	out := make([]uint16, inRow)
	port := lowLocal + rand.IntN(highLocal-lowLocal-inRow)
	for i := range out {
		out[i] = uint16(port + i)
	}
	return out
}
