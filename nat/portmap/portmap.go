package portmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// minRenew keeps a router that grants moments from being asked all the time.
	minRenew = time.Second
)

// Config says what to map.
type Config struct {
	// Local and Port are the TCP endpoint that strangers shall reach. Both are
	// required, but for Discover, which needs no port; Local is an address of
	// this machine.
	Local netip.Addr
	Port  uint16
	// Gateway is the router to ask. Zero means the one that the default route
	// of Local's interface leads to; outside Linux, the first address of its
	// network. It must be private or link-local.
	Gateway netip.Addr
	// Protocols narrows what is tried. Nil means all.
	Protocols []Protocol
	// Lifetime is what is asked for; the mapping is renewed after half of what
	// was granted. 0 means an hour; less than 2 s is 2 s.
	Lifetime time.Duration
	// Check is how often the router is asked whether it still has the mapping,
	// which it loses by a restart. 0 means a minute.
	Check time.Duration
	// OnChange is told every external endpoint, the first before Open returns,
	// and the zero value when the mapping is lost. It must be brief and must
	// not call Close.
	OnChange func(external netip.AddrPort)
	// Logger gets events. Nil means silence.
	Logger *slog.Logger

	mapping, search uint16 // ports of the protocols; 0 means theirs
	anyGateway      bool   // a test's, on loopback
}

// Mapping is a port that a router forwards to us. It is safe for concurrent use.
type Mapping struct {
	cfg    Config
	cancel context.CancelFunc
	done   chan struct{}

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
	m := &Mapping{cfg: cfg, done: make(chan struct{})}
	m.set(f.protocol, l.external)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	go m.keep(life, f, l)
	return m, nil
}

func (c *Config) fill() (err error) {
	if !c.Gateway.IsValid() {
		if c.Gateway, err = gatewayOf(c.Local); err != nil {
			return err
		}
	} else if err := checkGateway(c.Local, c.Gateway); err != nil && !c.anyGateway {
		return err
	}
	if c.Protocols == nil {
		c.Protocols = Protocols()
	}
	if c.Lifetime <= 0 {
		c.Lifetime = time.Hour
	}
	c.Lifetime = min(max(c.Lifetime, 2*time.Second), maxLife)
	if c.Check <= 0 {
		c.Check = time.Minute
	}
	if c.mapping == 0 {
		c.mapping = mappingPort
	}
	if c.search == 0 {
		c.search = searchPort
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) mappers() (all []found) {
	local, gateway := netip.AddrPortFrom(c.Local, c.Port), netip.AddrPortFrom(c.Gateway, c.mapping)
	if slices.Contains(c.Protocols, PCP) {
		all = append(all, found{PCP, newPCPMapper(local, gateway)})
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
			asking, done := context.WithTimeout(ctx, request)
			if l, err = r.ask(asking, wanted, c.Lifetime); err == nil {
				granted := l
				if l, err = l.validate(c.Local); err != nil {
					_ = r.drop(asking, granted)
				}
			}
			done()
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
	have, lost, renewed := true, false, time.Now()
	for {
		wait := m.cfg.Check
		if have && l.life > 0 {
			wait = min(wait, max(time.Until(renewed.Add(l.life/2)), 0))
		}
		if !pause(ctx, max(wait, minRenew/4)) {
			break
		}
		if !have {
			if g, got, err := m.cfg.obtain(ctx, l.external); err == nil {
				f, l, have, lost, renewed = g, got, true, false, time.Now()
				m.set(f.protocol, l.external)
			}
			continue
		}
		life := l.life
		due := life > 0 && time.Since(renewed) >= max(life/2, minRenew)
		asking, done := context.WithTimeout(ctx, request)
		err := error(nil)
		if !due && !lost {
			err = f.check(asking, l)
			lost = errors.Is(err, errLost) // a router says so only once
		}
		if due || lost {
			var got lease
			if got, err = f.ask(asking, l.external, m.cfg.Lifetime); err == nil {
				got, err = got.validate(m.cfg.Local)
			}
			if err == nil {
				l, lost, renewed = got, false, time.Now()
				m.set(f.protocol, l.external)
				m.cfg.Logger.Debug("port mapping renewed", "external", l.external, "lifetime", l.life)
			}
		}
		done()
		if ctx.Err() != nil {
			break
		}
		var no *RefusedError
		expired := life > 0 && time.Since(renewed) >= life
		if err != nil && (expired || errors.As(err, &no) || errors.Is(err, ErrUseless)) {
			m.cfg.Logger.Info("port mapping lost", "external", l.external, "error", err)
			have = false
			m.set("", netip.AddrPort{})
		}
	}
	if have {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), request/2)
		defer done()
		if err := f.drop(last, l); err != nil {
			m.cfg.Logger.Info("port mapping not deleted", "external", l.external, "error", err)
		}
	}
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

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
