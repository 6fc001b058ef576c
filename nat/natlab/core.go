package natlab

import "net/netip"

// core is the internet between the hosts and boxes that have public addresses.
// It is one router, with an address (.1) on the network of each of them.
type core struct {
	lab    *Lab
	routes map[netip.Addr]*link
	nets   int // handed out, of IPv4
	nets6  int // and of IPv6, those of firewalls included
}

// fromBelow forwards what a host or box sends to the internet.
func (c *core) fromBelow(p *packet, from *link) {
	if c.routes[p.src.Addr()] != from { // BCP 38: nothing private or forged gets here
		c.lab.dropped("internet", p, "source not of that link")
		return
	}
	c.lab.show(p)
	if p.dst.Addr() == from.gateway(p) {
		if r, ok := p.echo(); ok {
			c.send(&r)
		}
		return
	}
	if p.ttl() <= 1 {
		c.lab.dropped("internet", p, "ttl")
		if r, ok := p.expired(from.gateway(p)); ok {
			c.send(&r)
		}
		return
	}
	p.age()
	to := c.routes[p.dst.Addr()]
	if to == nil {
		c.lab.dropped("internet", p, "no route")
		return
	}
	to.send(p, true)
}

// send shows and routes a packet of the core's own.
func (c *core) send(p *packet) {
	c.lab.show(p)
	if to := c.routes[p.dst.Addr()]; to != nil {
		to.send(p, true)
	}
}

func (c *core) attach(a netip.Addr, k *link) bool {
	if c.routes[a] != nil {
		return false
	}
	c.routes[a] = k
	return true
}

func (c *core) detach(a netip.Addr) { delete(c.routes, a) }

// networks gives ones that nobody has yet; false when there are none left.
func (c *core) networks(want Stack, _ bool) (nets networks, ok bool) {
	if want.has4() {
		if c.nets == maxPublic {
			return networks{}, false
		}
		nets.v4 = newSubnet(public(c.nets))
		c.nets++
	}
	if want.has6() {
		nets.v6 = c.network6()
	}
	return nets, nets.v6 != nil || !want.has6()
}

// network6 gives a global IPv6 network; nil when there is none left.
func (c *core) network6() *subnet {
	if c.nets6 == maxPublic6 {
		return nil
	}
	c.nets6++
	return newSubnet(public6(c.nets6))
}
