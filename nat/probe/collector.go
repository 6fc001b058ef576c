package probe

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// collector gathers what a probe hears, from all its goroutines.
type collector struct {
	log   *slog.Logger
	start time.Time

	mu     sync.Mutex
	s      nat.Samples
	causes []error
}

func (c *collector) heard(t nat.Transport, m nat.Mapping) {
	c.log.Debug("stun answer", "transport", t, "local", m.Local, "external", m.External, "server", m.Server, "rtt", m.RTT)
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.of(t)
	h.Mappings = append(h.Mappings, m)
}

func (c *collector) filtered(t nat.Transport, f ...nat.Filtered) {
	for _, f := range f {
		c.log.Debug("stun filter test", "transport", t, "server", f.Server, "ip", f.ChangeIP, "port", f.ChangePort, "from", f.From, "alive", f.Alive)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.of(t)
	h.Filters = append(h.Filters, f...)
}

func (c *collector) walked(k int, router netip.Addr) {
	c.log.Debug("router on the way out", "ttl", k+1, "router", router)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Hops == nil {
		c.s.Hops = make([]netip.Addr, nat.MaxHops)
	}
	c.s.Hops[k] = router
}

func (c *collector) turned(a nat.Answer) {
	c.log.Debug("hairpin test", "seen", a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Hairpin = a
}

func (c *collector) asked(t nat.Transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(t).Asked++
}

func (c *collector) failed(t nat.Transport, who target, err error) {
	c.log.Debug("stun server failed", "transport", t, "server", who.name, "error", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.causes = append(c.causes, fmt.Errorf("%s over %v: %w", who.name, t, err))
}

func (c *collector) mappings(t nat.Transport) []nat.Mapping {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]nat.Mapping(nil), c.of(t).Mappings...)
}

func (c *collector) filtering() nat.FilteringVerdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	return nat.ClassifyFiltering(c.s.UDP.Filters)
}

func (c *collector) of(t nat.Transport) *nat.Heard {
	if t == nat.TCP {
		return &c.s.TCP
	}
	return &c.s.UDP
}

// report assembles what is known now.
func (c *collector) report() nat.Report {
	c.mu.Lock()
	s := c.s
	s.UDP.Mappings = append([]nat.Mapping(nil), s.UDP.Mappings...)
	s.TCP.Mappings = append([]nat.Mapping(nil), s.TCP.Mappings...)
	s.UDP.Filters = append([]nat.Filtered(nil), s.UDP.Filters...)
	s.TCP.Filters = append([]nat.Filtered(nil), s.TCP.Filters...)
	s.Hops = append([]netip.Addr(nil), s.Hops...)
	c.mu.Unlock()
	s.Took = time.Since(c.start)
	return nat.Assemble(s)
}

// error is nil where anybody answered.
func (c *collector) error(local netip.Addr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.s.UDP.Mappings)+len(c.s.TCP.Mappings) > 0 {
		return nil
	}
	return &NoServerError{Local: local, Causes: c.causes}
}
