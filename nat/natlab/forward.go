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
	if dst == from.gateway {
		b.answer(p)
		return
	}
	if p.ttl() <= 1 {
		b.dropped(p, "ttl")
		if r, ok := p.failure(icmpTimeExceeded, 0, from.gateway); ok {
			b.inside(&r)
		}
		return
	}
	p.age()
	if b.nat.mine(dst) {
		b.hairpin(p)
		return
	}
	if v := b.nat.outbound(b.lab.now, p); !v.pass {
		b.dropped(p, v.why)
		return
	}
	b.link.send(p, false)
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
		if r, ok := p.failure(icmpTimeExceeded, 0, b.outerFor(p)); ok {
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
	v := b.nat.inbound(b.lab.now, p)
	if v.pass {
		b.inside(p)
		return packet{}, false
	}
	if r, ok := p.echo(); ok && b.nat.mine(p.dst.Addr()) {
		return r, true
	}
	b.dropped(p, v.why)
	if !v.refuse {
		return packet{}, false
	}
	code := uint8(codePort)
	switch b.cfg.Refuse {
	case Drop:
		return packet{}, false
	case RST:
		return p.reset()
	case ProhibitedICMP:
		code = codeProhibited
	case HostICMP:
		code = codeHostProhibited
	}
	if p.proto == protoICMP {
		return packet{}, false
	}
	return p.failure(icmpUnreachable, code, b.outerFor(p))
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
		r, ok = p.failure(icmpUnreachable, codePort, p.dst.Addr())
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
	if b.cfg.Firewall {
		return b.nat.externals[0]
	}
	return p.dst.Addr()
}
