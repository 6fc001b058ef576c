package natlab

import "net/netip"

// core is the internet between the hosts and boxes that have public addresses.
// It is one router, with an address (.1) on the network of each of them.
type core struct {
	lab    *Lab
	routes map[netip.Addr]*link
	nets   int // handed out
}

// fromBelow forwards what a host or box sends to the internet.
func (c *core) fromBelow(p *packet, from *link) {
	if c.routes[p.src.Addr()] != from { // BCP 38: nothing private or forged gets here
		c.lab.dropped("internet", p, "source not of that link")
		return
	}
	c.lab.show(p)
	if p.dst.Addr() == from.gateway {
		if r, ok := p.echo(); ok {
			c.send(&r)
		}
		return
	}
	if p.ttl() <= 1 {
		c.lab.dropped("internet", p, "ttl")
		if r, ok := p.failure(icmpTimeExceeded, 0, from.gateway); ok {
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

// network gives one that nobody has yet; nil when there is none left.
func (c *core) network(bool) *subnet {
	if c.nets == maxPublic {
		return nil
	}
	c.nets++
	return newSubnet(public(c.nets - 1))
}
