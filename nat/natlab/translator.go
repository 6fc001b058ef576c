package natlab

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// verdict is what becomes of a packet at a NAT.
type verdict struct {
	pass   bool
	refuse bool   // unsolicited: answer as NAT.Refuse says
	why    string // of a drop, for the log
}

var pass = verdict{pass: true}

func drop(why string) verdict { return verdict{why: why} }

// translator is the state of a NAT: mappings, filters, port counters. It knows
// nothing of links, clocks and sockets: time comes in as an argument.
type translator struct {
	cfg       NAT // filled
	rng       *rand.Rand
	externals []netip.Addr
	pairs     map[netip.Addr]int // inner address -> index in externals
	ports     map[uint8]*allocator
	mappings  map[flow]*mapping // remote masked by cfg.Mapping
	outer     map[outside]*mapping
	flows     map[flow]*session
	count     int // sessions
	sweepAt   int
}

func newTranslator(cfg NAT, externals []netip.Addr, rng *rand.Rand) *translator {
	t := &translator{cfg: cfg, rng: rng, externals: externals, pairs: map[netip.Addr]int{}}
	t.forget()
	return t
}

// forget drops all state but the pairing of addresses, as switching a box off
// and on does.
func (t *translator) forget() {
	t.ports = map[uint8]*allocator{}
	for _, proto := range []uint8{protoICMP, protoTCP, protoUDP} {
		t.ports[proto] = newAllocator(t.cfg, t.rng)
	}
	t.mappings, t.outer, t.flows = map[flow]*mapping{}, map[outside]*mapping{}, map[flow]*session{}
	t.count, t.sweepAt = 0, minSweep
}

// external is the address that inner is paired with.
func (t *translator) external(inner netip.Addr) netip.Addr {
	if t.cfg.Firewall {
		return inner
	}
	i, ok := t.pairs[inner]
	if !ok {
		i = len(t.pairs) % len(t.externals)
		t.pairs[inner] = i
	}
	return t.externals[i]
}

// mine reports whether a is an address of the NAT itself.
func (t *translator) mine(a netip.Addr) bool { return slices.Contains(t.externals, a) }

// outbound translates a packet from the inside in place.
func (t *translator) outbound(now time.Duration, p *packet) verdict {
	if v := t.cfg.permits(p, true); !v.pass {
		return v
	}
	if p.isError() {
		return t.outboundError(p)
	}
	t.sweep(now)
	key := flow{p.proto, p.src, p.dst}
	s := t.flows[key]
	if s != nil && t.stale(now, s) {
		t.end(s)
		s = nil
	}
	if s == nil {
		if p.proto == protoTCP && !p.syn() {
			return drop("no session for a segment from inside")
		}
		m := t.mapping(now, key)
		if m == nil {
			return drop("no external port left")
		}
		s = t.open(now, m, p.dst)
	}
	p.setSrc(s.m.outer)
	t.follow(now, s, p, true)
	return pass
}

// mapping finds or makes the mapping that a new flow goes out through.
func (t *translator) mapping(now time.Duration, f flow) *mapping {
	remote := f.remote
	f.remote = masked(t.cfg.Mapping, remote)
	if m := t.mappings[f]; m != nil && t.alive(now, m) {
		return m
	}
	outer := f.inner
	if !t.cfg.Firewall {
		addr := t.external(f.inner.Addr())
		if t.cfg.Arbitrary {
			addr = t.externals[t.rng.IntN(len(t.externals))]
		}
		port, ok := t.ports[f.proto].next(now, f.inner, func(port uint16) bool {
			m := t.outer[outside{f.proto, netip.AddrPortFrom(addr, port)}]
			return m == nil || !t.alive(now, m)
		})
		if !ok {
			return nil
		}
		outer = netip.AddrPortFrom(addr, port)
	}
	m := &mapping{key: f, outer: outer, sessions: map[netip.AddrPort]*session{}, written: map[netip.Addr]int{}}
	t.mappings[f], t.outer[outside{f.proto, outer}] = m, m
	return m
}

// inbound translates a packet from the outside in place.
func (t *translator) inbound(now time.Duration, p *packet) verdict {
	if v := t.cfg.permits(p, false); !v.pass {
		return v
	}
	if p.isError() {
		return t.inboundError(p)
	}
	unsolicited := verdict{refuse: true, why: "unsolicited"}
	m := t.outer[outside{p.proto, p.dst}]
	if m == nil {
		return unsolicited
	}
	s := m.sessions[p.src]
	if s != nil && t.stale(now, s) {
		t.end(s)
		s = nil
	}
	if s == nil {
		if !t.alive(now, m) || !t.admits(now, m, p.src) {
			return unsolicited
		}
		s = t.open(now, m, p.src)
	}
	if s.pending && p.syn() && t.cfg.NoSimultaneousOpen {
		return drop("simultaneous open")
	}
	p.setDst(m.key.inner)
	t.follow(now, s, p, false)
	return pass
}

// admits reports whether the filter lets a remote in that m has no session with.
func (t *translator) admits(now time.Duration, m *mapping, remote netip.AddrPort) bool {
	switch t.cfg.Filtering {
	case nat.EndpointIndependent:
		return true
	case nat.AddressDependent:
		return t.prune(now, m) && m.written[remote.Addr()] > 0
	}
	return false
}

// inboundError translates an ICMP error and the packet of ours that it quotes,
// back to how the inner host sent it (RFC 5508 §4.2).
func (t *translator) inboundError(p *packet) verdict {
	q, ok := p.quoted()
	if !ok {
		return drop("error without a readable quote")
	}
	m := t.outer[outside{q.proto, q.src}]
	if m == nil || m.sessions[q.dst] == nil {
		return drop("error about no session")
	}
	q.setSrc(m.key.inner)
	p.resum()
	p.setDst(netip.AddrPortFrom(m.key.inner.Addr(), 0))
	return pass
}

// outboundError translates an ICMP error from inside about a packet that came
// in, and the quote forth to how the sender sent it.
func (t *translator) outboundError(p *packet) verdict {
	q, ok := p.quoted()
	if !ok {
		return drop("error without a readable quote")
	}
	s := t.flows[flow{q.proto, q.dst, q.src}]
	if s == nil {
		return drop("error about no session")
	}
	from := p.src.Addr()
	if !t.cfg.Firewall {
		from = s.m.outer.Addr()
	}
	q.setDst(s.m.outer)
	p.resum()
	p.setSrc(netip.AddrPortFrom(from, 0))
	return pass
}

// permits is the part of a box's policy that needs no state.
func (c *NAT) permits(p *packet, out bool) verdict {
	switch {
	case p.fragment:
		return drop("fragment")
	case p.proto == protoUDP && c.UDPBlocked:
		return drop("udp blocked")
	case p.proto == protoTCP && out && len(c.OnlyTCPPorts) > 0 && p.syn() && !slices.Contains(c.OnlyTCPPorts, p.dst.Port()):
		return drop("tcp port blocked")
	case p.isICMP() && !p.isError() && p.icmp() == otherMessage:
		return drop("icmp query other than echo")
	case !p.isICMP() && p.proto != protoTCP && p.proto != protoUDP:
		return drop("protocol without ports")
	}
	return pass
}
