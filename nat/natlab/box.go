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
	wall    *translator // of NAT.V6, which filters and never translates; nil where nothing is filtered
	kernel  *router     // of NAT.Kernel, else nil
	lan     *subnet
	carrier *subnet    // for boxes behind this one
	own6    netip.Addr // the box's own address on the internet's side; zero without NAT.V6
	inner6  networks   // the IPv6 inside
	routes  map[netip.Addr]*link
	links   []*link // to hosts, in order

	commands commands // on the router itself
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
	stack := IPv4
	if cfg.V6 != nil {
		stack = DualStack
	}
	k, addrs, err := l.join(b, cfg.Behind, stack, cfg.Externals, Link{cfg.Delay, cfg.Jitter, cfg.Loss})
	if err == nil {
		b.link, b.nat = k, newTranslator(cfg, addrs[:cfg.Externals], l.random())
		err = b.plan(n)
		if err == nil && cfg.V6 != nil {
			b.own6 = addrs[cfg.Externals]
			err = b.plan6(n)
		}
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
			k.release(addrs)
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
		nets, ok := b.lab.core.networks(IPv4, false)
		if !ok {
			return errFull
		}
		b.lan = nets.v4
	case b.cfg.Firewall:
		b.lan = newSubnet(private(10, 0, n))
	}
	if b.cfg.Firewall {
		b.carrier = b.lan
	}
	return nil
}

// plan6 does so for IPv6.
func (b *Box) plan6(n int) error {
	v6 := b.cfg.V6
	if !v6.NoGlobal {
		if b.inner6.v6 = b.lab.core.network6(); b.inner6.v6 == nil {
			return errFull
		}
	}
	if v6.ULA {
		b.inner6.ula = newSubnet(uniqueLocal(n))
	}
	if v6.Open {
		return nil
	}
	cfg, err := NAT{
		Firewall: true, Filtering: v6.Filtering, UDPBlocked: b.cfg.UDPBlocked, OnlyTCPPorts: b.cfg.OnlyTCPPorts,
		NoSimultaneousOpen: b.cfg.NoSimultaneousOpen, EndOnRST: b.cfg.EndOnRST, EndOnFIN: b.cfg.EndOnFIN,
		UDPLifetime: b.cfg.UDPLifetime, TCPLifetime: b.cfg.TCPLifetime,
	}.filled()
	b.wall = newTranslator(cfg, []netip.Addr{b.own6}, b.lab.random())
	return err
}

// routed reports whether the internet's side knows an inner address as it is.
func (b *Box) routed(a netip.Addr) bool {
	if a.Is4() {
		return b.cfg.Firewall
	}
	return !a.IsPrivate()
}

func (b *Box) attach(a netip.Addr, k *link) bool {
	if b.routes[a] != nil || b.routed(a) && !b.link.parent.attach(a, b.link) {
		return false
	}
	b.routes[a] = k
	if _, ok := k.child.(*Interface); ok && (len(b.links) == 0 || b.links[len(b.links)-1] != k) {
		b.links = append(b.links, k)
	}
	return true
}

func (b *Box) detach(a netip.Addr) {
	delete(b.routes, a)
	if b.routed(a) {
		b.link.parent.detach(a)
	}
}

func (b *Box) networks(want Stack, forBox bool) (nets networks, ok bool) {
	switch {
	case !want.has4():
	case forBox:
		nets.v4 = b.carrier
	default:
		nets.v4 = b.lan
	}
	if want.has6() {
		nets.v6, nets.ula = b.inner6.v6, b.inner6.ula
		if forBox {
			nets.ula = nil // another site
		}
		ok = nets.v6 != nil || nets.ula != nil
	}
	return nets, ok || !want.has6()
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
	b.forget()
	return nil
}

func (b *Box) forget() {
	b.nat.forget()
	if b.wall != nil {
		b.wall.forget()
	}
}

// Renumber is a Reboot after which the box has other external IPv4 addresses in
// the same network, as when a provider hands out a new one.
func (b *Box) Renumber() error {
	if b.kernel != nil {
		return fmt.Errorf("nat %q: a kernel NAT can't be renumbered", b.cfg.Name)
	}
	b.lab.mu.Lock()
	defer b.lab.mu.Unlock()
	externals, err := b.link.number(b.link.nets.v4, b.cfg.Externals)
	if err != nil {
		return fmt.Errorf("nat %q: %w", b.cfg.Name, err)
	}
	b.link.release(b.nat.externals)
	b.nat.externals = externals
	b.forget()
	return nil
}
