package registry

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// origin is what a client's names are counted by, and how many it may have.
func (g *Registry) origin(remote string) (string, int) {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "nobody", 0
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String(), g.cfg.PerIPv4
	}
	p, _ := ip.Prefix(64)
	return p.String(), g.cfg.PerIPv6
}

// allow charges an address for n requests.
func (g *Registry) allow(from string, n int) bool {
	g.asking.Lock()
	defer g.asking.Unlock()
	l := g.rates[from]
	if l == nil {
		if len(g.rates) >= maxOrigins {
			clear(g.rates) // rather generous than unbounded
		}
		l = rate.NewLimiter(rate.Limit(g.cfg.Rate), g.cfg.Burst)
		g.rates[from] = l
	}
	return l.AllowN(time.Now(), n)
}
