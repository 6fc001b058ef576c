package portmap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// discovery and request bound what is waited for: a router is one hop away.
	discovery = 2 * time.Second
	request   = 2 * time.Second
	// maxLife is the longest lifetime that a router is believed (RFC 6887 §15).
	maxLife = 24 * time.Hour
)

// Mapping is a port that a router forwards to us. It is safe for concurrent use.
type Mapping struct {
	cfg    Config
	cancel context.CancelFunc
	done   chan struct{}
	look   chan struct{} // has an element when the router is to be asked at once

	mu       sync.Mutex
	external netip.AddrPort
	protocol Protocol
}

// found is a protocol that the gateway speaks.
type found struct {
	protocol Protocol
	mapper
}

// Open asks the gateway for a mapping and keeps it until Close. It takes two
// seconds for discovery at most, and two more for each protocol that was
// answered and then is not. The error is ErrNone, with what each protocol met,
// or of those that refused; ErrUseless among them tells of a second NAT.
func Open(ctx context.Context, cfg Config) (*Mapping, error) {
	if !cfg.Local.IsValid() || cfg.Port == 0 {
		return nil, fmt.Errorf("port mapping for %v: an address and a port are needed", netip.AddrPortFrom(cfg.Local, cfg.Port))
	}
	cfg.Local = cfg.Local.Unmap()
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	f, l, err := cfg.obtain(ctx, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	m := &Mapping{cfg: cfg, done: make(chan struct{}), look: make(chan struct{}, 1)}
	m.set(f.protocol, l.external)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	go m.keep(life, f, l)
	return m, nil
}

func (c *Config) mappers() (all []found) {
	local, gateway := netip.AddrPortFrom(c.Local, c.Port), netip.AddrPortFrom(c.Gateway, c.mapping)
	if slices.Contains(c.Protocols, PCP) {
		all = append(all, found{PCP, &pcpMapper{local: local, gateway: gateway, nonce: c.nonce}})
	}
	if slices.Contains(c.Protocols, NATPMP) && c.Local.Is4() {
		all = append(all, found{NATPMP, &pmpMapper{local: local, gateway: gateway}})
	}
	if slices.Contains(c.Protocols, UPnP) {
		all = append(all, found{UPnP, newUPnPMapper(local, c.Gateway, c.search)})
	}
	return all
}

// obtain discovers all protocols at once, and asks those that are answered,
// one at a time, for the external endpoint that is wanted.
func (c *Config) obtain(ctx context.Context, wanted netip.AddrPort) (found, lease, error) {
	if wanted.Port() == 0 {
		wanted = netip.AddrPortFrom(wanted.Addr(), c.Port)
	}
	searches := c.discover(ctx)
	defer searches.end()
	errs := []error{ErrNone}
	for range searches.n {
		r := <-searches.results
		err := r.err
		if err == nil {
			errs[0] = nil
			var l lease
			asking, done := context.WithTimeout(ctx, c.request)
			if l, err = r.ask(asking, wanted, c.Lifetime); err == nil {
				granted := l
				if l, err = l.validate(c.Local); err != nil {
					_ = r.drop(asking, granted)
				}
			}
			done()
			if err != nil && ctx.Err() != nil {
				c.takeBack(ctx, r.found, wanted) // it may have been granted all the same
			}
			if err == nil {
				c.Logger.Info("port mapped", "protocol", string(r.protocol), "local", c.Local, "external", l.external, "lifetime", l.life)
				return r.found, l, nil
			}
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.protocol, err))
	}
	return found{}, lease{}, errors.Join(errs...)
}

// keep renews and checks the mapping until ctx ends, and deletes it then.
func (m *Mapping) keep(ctx context.Context, f found, l lease) {
	defer close(m.done)
	h := held{found: f, lease: l, have: true, renewed: time.Now()}
	for {
		look, alive := m.pause(ctx, h.wait(m.cfg.Check))
		if !alive {
			break
		}
		h.lost = h.lost || look
		if m.moved() {
			m.cfg.Logger.Info("port mapping lost", "external", h.external, "error", "another router")
			m.lose(&h)
		}
		if h.have {
			m.tend(ctx, &h)
		} else if g, got, err := m.cfg.obtain(ctx, h.external); err == nil {
			h = held{found: g, lease: got, have: true, renewed: time.Now()}
			m.set(g.protocol, got.external)
		}
	}
	if h.have {
		m.cfg.takeBack(ctx, h.found, h.external)
	}
}

// takeBack deletes a mapping, after the end of ctx too; it takes a second at
// most.
func (c *Config) takeBack(ctx context.Context, f found, external netip.AddrPort) {
	last, done := context.WithTimeout(context.WithoutCancel(ctx), c.request/2)
	defer done()
	if err := f.drop(last, lease{external: external}); err != nil {
		c.Logger.Info("port mapping not deleted", "external", external, "error", err)
	}
}

// pause waits for d, or for less where a look is wanted at once; alive is false
// at the end of ctx.
func (m *Mapping) pause(ctx context.Context, d time.Duration) (look, alive bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.look:
		look = true
	case <-ctx.Done():
	}
	return look, ctx.Err() == nil
}

// moved takes over which router the default route leads to by now, where that
// was to be found out, and reports whether it is another.
func (m *Mapping) moved() bool {
	if !m.cfg.searched {
		return false
	}
	g, err := gatewayOf(m.cfg.Local)
	if err != nil || g == m.cfg.Gateway {
		return false // without a route the router is not asked, and nothing is known
	}
	m.cfg.Gateway = g
	return true
}

// tend renews the mapping where it is time or where the router has lost it,
// and otherwise asks whether it has.
func (m *Mapping) tend(ctx context.Context, h *held) {
	asking, done := context.WithTimeout(ctx, m.cfg.request)
	defer done()
	err := error(nil)
	due := h.due(time.Now())
	if !due && !h.lost {
		err = h.check(asking, h.lease)
		h.lost = errors.Is(err, errLost) // a router says so only once
	}
	if due || h.lost {
		var got lease
		if got, err = h.ask(asking, h.external, m.cfg.Lifetime); err == nil {
			got, err = got.validate(m.cfg.Local)
		}
		if err == nil {
			h.lease, h.lost, h.renewed = got, false, time.Now()
			m.set(h.protocol, got.external)
			m.cfg.Logger.Debug("port mapping renewed", "external", got.external, "lifetime", got.life)
		}
	}
	if h.failures++; err == nil {
		h.failures = 0
	}
	asked := due || h.lost // a router that can't be asked to check says nothing by that
	if err != nil && ctx.Err() == nil && (asked && h.over(err, time.Now()) || h.expired(time.Now())) {
		m.cfg.Logger.Info("port mapping lost", "external", h.external, "error", err)
		m.lose(h)
	}
}

func (m *Mapping) lose(h *held) {
	h.have = false
	m.set("", netip.AddrPort{})
}

func (m *Mapping) set(p Protocol, external netip.AddrPort) {
	m.mu.Lock()
	changed := m.external != external
	m.external, m.protocol = external, p
	m.mu.Unlock()
	if changed && m.cfg.OnChange != nil {
		m.cfg.OnChange(external)
	}
}

// Recheck has the router asked for the mapping at once, as if it had lost it;
// where Config names no gateway, the one of now. It is for when the network may
// be another or the router may have started anew, and does not wait for the
// answer.
func (m *Mapping) Recheck() {
	select {
	case m.look <- struct{}{}:
	default: // it will be
	}
}

// External is where strangers reach Local and Port now; zero while the router
// has no mapping.
func (m *Mapping) External() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.external
}

// Protocol is the one that the router was asked by.
func (m *Mapping) Protocol() Protocol {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.protocol
}

// Close deletes the mapping, which takes a second at most, and ends. It may be
// called more than once.
func (m *Mapping) Close() error {
	m.cancel()
	<-m.done
	return nil
}
