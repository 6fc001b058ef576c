package natlab

import "net/netip"

// fromBelow takes what hosts, and boxes behind this one, send.
func (b *Box) fromBelow(p *packet, from *link) {
	dst := p.dst.Addr()
	if b.routes[p.src.Addr()] != from {
		b.dropped(p, "source not of that link")
		return
	}
	if dst.IsMulticast() || dst == b.lan.broadcast() || dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		b.flood(p, from)
		return
	}
	if b.routes[dst] != nil { // inside is one network, so the box is only its switch
		b.inside(p)
		return
	}
	if b.kernel != nil {
		if v := b.cfg.permits(p, true); !v.pass {
			b.dropped(p, v.why)
			return
		}
		b.lab.deliver(b.kernel.lan, p)
		return
	}
	if dst == from.gateway(p) || dst == b.own6 {
		b.answer(p)
		return
	}
	if p.ttl() <= 1 {
		b.dropped(p, "ttl")
		if r, ok := p.expired(from.gateway(p)); ok {
			b.inside(&r)
		}
		return
	}
	p.age()
	if b.nat.mine(dst) {
		b.hairpin(p)
		return
	}
	if v := b.leave(p); !v.pass {
		b.dropped(p, v.why)
		return
	}
	b.link.send(p, false)
}

// leave translates or notes what goes out.
func (b *Box) leave(p *packet) verdict {
	switch {
	case !p.six():
		return b.nat.outbound(b.lab.now, p)
	case p.src.Addr().IsPrivate() || p.dst.Addr().IsPrivate():
		return drop("unique local address beyond its site") // RFC 4193 §4.3
	case b.wall == nil:
		return b.cfg.permits(p, true)
	}
	return b.wall.outbound(b.lab.now, p)
}

// arrive does for what comes in what leave does for what goes out.
func (b *Box) arrive(p *packet) verdict {
	switch {
	case !p.six():
		return b.nat.inbound(b.lab.now, p)
	case b.wall == nil && p.dst.Addr() != b.own6:
		return b.cfg.permits(p, false)
	case b.wall == nil:
		return verdict{refuse: true, why: "nothing listens"}
	}
	return b.wall.inbound(b.lab.now, p)
}

// fromAbove takes what comes from the internet's side.
func (b *Box) fromAbove(p *packet) {
	if b.kernel != nil {
		if v := b.cfg.permits(p, false); !v.pass {
			b.dropped(p, v.why)
			return
		}
		b.lab.deliver(b.kernel.wan, p)
		return
	}
	if p.ttl() <= 1 {
		b.dropped(p, "ttl")
		if r, ok := p.expired(b.outerFor(p)); ok {
			b.link.send(&r, false)
		}
		return
	}
	p.age()
	if r, ok := b.enter(p); ok {
		b.link.send(&r, false)
	}
}

// enter lets p in if the filter does. Otherwise it gives the answer, if any.
func (b *Box) enter(p *packet) (answer packet, ok bool) {
	v := b.arrive(p)
	if v.pass {
		b.inside(p)
		return packet{}, false
	}
	if r, ok := p.echo(); ok && (b.nat.mine(p.dst.Addr()) || p.dst.Addr() == b.own6) {
		return r, true
	}
	b.dropped(p, v.why)
	if !v.refuse {
		return packet{}, false
	}
	why, refuse := noPort, b.cfg.Refuse
	if p.six() {
		refuse = b.cfg.V6.Refuse
	}
	switch refuse {
	case Drop:
		return packet{}, false
	case RST:
		return p.reset()
	case ProhibitedICMP:
		why = prohibited
	case HostICMP:
		why = hostProhibited
	}
	if p.isICMP() {
		return packet{}, false
	}
	return p.failure(unreachable, why, b.outerFor(p))
}

// hairpin turns a packet for one of the box's own addresses back inside.
func (b *Box) hairpin(p *packet) {
	if !b.cfg.Hairpin {
		b.dropped(p, "no hairpinning")
		return
	}
	if v := b.nat.outbound(b.lab.now, p); !v.pass {
		b.dropped(p, v.why)
		return
	}
	if r, ok := b.enter(p); ok {
		b.enter(&r)
	}
}

// answer speaks for the box's address inside: as a router with no service open.
func (b *Box) answer(p *packet) {
	r, ok := p.echo()
	switch p.proto {
	case protoTCP:
		r, ok = p.reset()
	case protoUDP:
		r, ok = p.failure(unreachable, noPort, p.dst.Addr())
	}
	if ok {
		b.inside(&r)
	}
}

// inside sends p down to the inner host or box that has the address.
func (b *Box) inside(p *packet) {
	if k := b.routes[p.dst.Addr()]; k != nil {
		k.send(p, true)
	}
}

// flood copies a broadcast or multicast to the other hosts of the LAN.
func (b *Box) flood(p *packet, from *link) {
	for _, k := range b.links {
		if k != from {
			k.send(p, true)
		}
	}
}

// outerFor is the address under which the box writes to the sender of p.
func (b *Box) outerFor(p *packet) netip.Addr {
	switch {
	case p.six():
		return b.own6
	case b.cfg.Firewall:
		return b.nat.externals[0]
	}
	return p.dst.Addr()
}
