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
