package natlab

import "net/netip"

// Interface is one interface of a host, and its uplink.
type Interface struct {
	host   *Host
	name   string
	behind *Box
	link   *link
	addrs  []netip.Addr // IPv4 first, then global IPv6, then unique local
	tun    *tun         // nil until the host has booted
}

func (i *Interface) fromAbove(p *packet) {
	if i.tun != nil {
		i.host.lab.deliver(i.tun, p)
	}
}

// Name is eth0, eth1 and so on.
func (i *Interface) Name() string { return i.name }

// Addrs gives its addresses: IPv4, then global IPv6, then unique local.
func (i *Interface) Addrs() []netip.Addr { return append([]netip.Addr(nil), i.addrs...) }

// External is the address under which the internet knows the first of them, as
// Host.External has it.
func (i *Interface) External() netip.Addr {
	i.host.lab.mu.Lock()
	defer i.host.lab.mu.Unlock()
	a := i.addrs[0]
	for b := i.behind; b != nil && a.Is4(); b = b.cfg.Behind {
		a = b.nat.external(a)
	}
	return a
}

// SetLink changes the link. Packets under way keep their time.
func (i *Interface) SetLink(k Link) error { return i.link.set(k) }

// Cut takes the link away (true) or gives it back, as Host.Cut does.
func (i *Interface) Cut(cut bool) { i.link.setCut(cut) }
