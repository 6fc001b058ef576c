package natlab

import (
	"fmt"
	"net/netip"
)

// Box is a NAT or firewall, with the network inside it.
type Box struct {
	lab     *Lab
	cfg     NAT // filled
	link    *link
	nat     *translator
	kernel  *router // of NAT.Kernel, else nil
	lan     *subnet
	carrier *subnet // for boxes behind this one
	routes  map[netip.Addr]*link
	links   []*link // to hosts, in order
}

// NAT adds a box.
func (l *Lab) NAT(cfg NAT) (*Box, error) {
	b := &Box{lab: l, routes: map[netip.Addr]*link{}}
	err := l.build(func() error { return b.start(cfg) })
	if err != nil {
		return nil, fmt.Errorf("nat %q: %w", cfg.Name, err)
	}
	return b, nil
}

func (b *Box) start(cfg NAT) error {
	l := b.lab
	n := len(l.boxes) + 1
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("nat%d", n)
	}
	cfg, err := cfg.filled()
	if err != nil {
		return err
	}
	b.cfg = cfg
	l.mu.Lock()
	k, externals, err := l.join(b, cfg.Behind, cfg.Externals, Link{cfg.Delay, cfg.Jitter, cfg.Loss})
	if err == nil {
		b.link, b.nat = k, newTranslator(cfg, externals, l.random())
		err = b.plan(n)
	}
	l.mu.Unlock()
	var r *router
	if err == nil && cfg.Kernel {
		r, err = newRouter(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if k != nil {
			k.release(externals)
		}
		return err
	}
	if b.kernel = r; r != nil {
		l.group.Go(func() { l.read(r.wan, func(p *packet) { b.link.send(p, false) }) })
		l.group.Go(func() { l.read(r.lan, b.inside) })
	}
	l.boxes = append(l.boxes, b)
	return nil
}

// plan chooses the networks inside the n-th box.
func (b *Box) plan(n int) error {
	b.lan, b.carrier = newSubnet(private(192, 168, n)), newSubnet(private(100, 64, n))
	switch {
	case b.cfg.LAN.IsValid():
		b.lan = newSubnet(b.cfg.LAN)
	case b.cfg.Firewall && b.cfg.Behind == nil:
		if b.lan = b.lab.core.network(false); b.lan == nil {
			return errFull
		}
	case b.cfg.Firewall:
		b.lan = newSubnet(private(10, 0, n))
	}
	if b.cfg.Firewall {
		b.carrier = b.lan
	}
	return nil
}

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

func (b *Box) attach(a netip.Addr, k *link) bool {
	if b.routes[a] != nil || b.cfg.Firewall && !b.link.parent.attach(a, b.link) {
		return false
	}
	b.routes[a] = k
	if _, ok := k.child.(*Host); ok && (len(b.links) == 0 || b.links[len(b.links)-1] != k) {
		b.links = append(b.links, k)
	}
	return true
}

func (b *Box) detach(a netip.Addr) {
	delete(b.routes, a)
	if b.cfg.Firewall {
		b.link.parent.detach(a)
	}
}

func (b *Box) network(forBox bool) *subnet {
	if forBox {
		return b.carrier
	}
	return b.lan
}

func (b *Box) dropped(p *packet, why string) { b.lab.dropped(b.cfg.Name, p, why) }

func (b *Box) close() {
	if b.kernel != nil {
		b.kernel.close()
	}
}

// Name is the box's name.
func (b *Box) Name() string { return b.cfg.Name }

// Externals gives the box's own addresses on the internet's side.
func (b *Box) Externals() []netip.Addr {
	b.lab.mu.Lock()
	defer b.lab.mu.Unlock()
	return append([]netip.Addr(nil), b.nat.externals...)
}

// Gateway is the box's address on its LAN.
func (b *Box) Gateway() netip.Addr { return b.lan.gateway() }

// SetLink changes the link towards the internet. Packets under way keep their time.
func (b *Box) SetLink(k Link) error { return b.link.set(k) }

// Cut takes the link towards the internet away (true) or gives it back:
// packets vanish in both directions, without an error.
func (b *Box) Cut(cut bool) { b.link.setCut(cut) }

// Reboot forgets all mappings and filters.
func (b *Box) Reboot() error {
	if b.kernel != nil {
		return b.kernel.flush()
	}
	b.lab.mu.Lock()
	defer b.lab.mu.Unlock()
	b.nat.forget()
	return nil
}

// Renumber is a Reboot after which the box has other external addresses in
// the same network, as when a provider hands out a new one.
func (b *Box) Renumber() error {
	if b.kernel != nil {
		return fmt.Errorf("nat %q: a kernel NAT can't be renumbered", b.cfg.Name)
	}
	b.lab.mu.Lock()
	defer b.lab.mu.Unlock()
	externals, err := b.link.number(b.cfg.Externals)
	if err != nil {
		return fmt.Errorf("nat %q: %w", b.cfg.Name, err)
	}
	b.link.release(b.nat.externals)
	b.nat.externals = externals
	b.nat.forget()
	return nil
}
