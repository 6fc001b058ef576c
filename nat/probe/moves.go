package probe

import (
	"context"
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
	row := func() []uint16 { return drawRow(p.unused(t), inRow) }
	draws := []func() []uint16{
		func() []uint16 { return drawApart(p.unused(t), apart) },
		row, row, // one may be broken where the NAT has few ports
	}
	for _, draw := range draws {
		p.oneBurst(ctx, t, draw, servers, wait, do)
		first()
		if _, d := judge(); !d.NeedsConsecutive() || ctx.Err() != nil {
			return
		}
	}
}

// unused tells which local ports are free and lie apart from those that have
// been mapped already, whose neighbours they would seem to be.
func (p *prober) unused(t nat.Transport) func(uint16) bool {
	const near = 3
	used := map[uint16]bool{}
	for _, m := range p.mappings(t) {
		for d := range uint16(2*near + 1) {
			used[m.Local.Port()-near+d] = true
		}
	}
	return func(port uint16) bool { return !used[port] && free(t, p.local, port) }
}

// oneBurst asks from ports that draw gives, and once more, with more patience,
// where two or more answers are missing.
func (p *prober) oneBurst(ctx context.Context, t nat.Transport, draw func() []uint16, servers []netip.AddrPort, wait time.Duration, do burst) {
	for range 2 {
		ports, before := draw(), len(p.mappings(t))
		for range 3 { // where a port has just been taken, others are drawn
			if len(ports) == 0 {
				return
			}
			err := do(ctx, ports, servers, wait)
			if err == errSpent {
				return
			}
			if err == nil || ctx.Err() != nil {
				break
			}
			ports = draw()
		}
		if len(p.mappings(t))-before >= len(ports)-1 || ctx.Err() != nil {
			return
		}
		wait *= 2
	}
}
