package node

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/punch"
)

// spread is how many mappings are made where the next port is a prediction,
// and frugalSpread is the same where packets are counted: of ten, what the
// peer's connection needs must be left.
const spread, frugalSpread = 8, 4

// endpoint is our end of one punch: where its SYNs leave from, and how that is
// seen from outside.
type endpoint struct {
	local    []netip.AddrPort // that SYNs leave from, in this order
	device   string           // by which they leave; "" is by route
	external []netip.AddrPort // what the peer is to dial
	fresh    bool             // nobody listens there yet
	depth    int              // of our own NATs
	release  func()
}

// preparePunch takes the warm port where its mapping stands and its four-tuple
// towards the peer is free. Otherwise it takes a fresh port: whose mapping is
// looked up, or known where the NAT keeps the port numbers. The connection that
// revealed a mapping is kept until release, since some NATs end the mapping
// with it.
func (n *Node) preparePunch(ctx context.Context, i address.Interface, lookUp bool, round, spread int, toward []netip.AddrPort) (*endpoint, error) {
	local := n.around.local(i.Index)
	e, err := n.prepareAt(ctx, local, i, lookUp, round, spread, toward)
	if err == nil {
		e.device = n.around.device(local)
	}
	return e, err
}

func (n *Node) prepareAt(ctx context.Context, local netip.Addr, i address.Interface, lookUp bool, round, spread int, toward []netip.AddrPort) (*endpoint, error) {
	r := n.around.report(local)
	if !lookUp {
		if release, ok := n.tuples.take(toward); ok {
			return &endpoint{
				local: []netip.AddrPort{netip.AddrPortFrom(local, n.warm.port)}, external: []netip.AddrPort{i.ExternalEndpoint()},
				depth: r.Depth, release: release,
			}, nil
		}
	}
	if !i.NAT.Translates() || !lookUp && keepsPorts(r) {
		return unaskedEndpoint(r, local)
	}
	if last, done, ok := n.foreseen(local, r, round, spread); ok {
		base, err := freePort(local)
		if err != nil {
			done()
			return nil, err
		}
		e := predicted(r, last, base, 0, spread)
		e.release = done
		return e, nil
	}
	held, err := n.lookUp(ctx, local, r)
	if err != nil {
		return nil, fmt.Errorf("looking up a fresh mapping: %w", err)
	}
	m := held.Mapping()
	base := m.Local
	if r.Type == nat.Symmetric && base.Port() < 65535 {
		base = netip.AddrPortFrom(base.Addr(), base.Port()+1)
	}
	e := predicted(r, m, base, held.Later, spread)
	e.release = func() { _ = held.Close() }
	if counts(r) {
		done := n.counters.looked(local, r, m)
		e.release = func() { _ = held.Close(); done() }
	}
	return e, nil
}

// foreseen gives a mapping from which the next one of a symmetric NAT follows
// without a fresh look: any where the NAT goes by the local port, and a recent
// one where it has a counter that was followed. Only a first round dares it.
func (n *Node) foreseen(local netip.Addr, r nat.Report, round, spread int) (m nat.Mapping, done func(), ok bool) {
	switch {
	case r.Type != nat.Symmetric || round > 0:
	case r.Delta.Kind == nat.Equal, r.Delta.Kind == nat.Preserving:
		if k := len(r.TCP.Samples); k > 0 && r.Sure() {
			return r.TCP.Samples[k-1], func() {}, true
		}
	case counts(r):
		return n.counters.draw(local, r, spread, time.Now())
	}
	return nat.Mapping{}, nil, false
}

// keepsPorts reports whether the external port of any local one is known
// without asking.
func keepsPorts(r nat.Report) bool {
	return r.Warm.IsValid() && r.Type != nat.Symmetric && (r.Delta.Kind == nat.Equal || r.Delta.Kind == nat.Preserving) && r.Sure()
}

// unaskedEndpoint takes a fresh port of which the outside is known.
func unaskedEndpoint(r nat.Report, local netip.Addr) (*endpoint, error) {
	l, err := freePort(local)
	if err != nil {
		return nil, err
	}
	e := &endpoint{local: []netip.AddrPort{l}, external: []netip.AddrPort{l}, fresh: true, depth: r.Depth, release: func() {}}
	if r.NATed() {
		port := l.Port()
		if r.Delta.Kind == nat.Preserving {
			port += r.Warm.Port() - r.WarmPort
		}
		e.external[0] = netip.AddrPortFrom(r.External, port)
	}
	return e, nil
}

// lookUp maps a fresh port. On a NAT whose every mapping moves a counter one
// server is asked after another, the nearest first; otherwise all at once.
func (n *Node) lookUp(ctx context.Context, local netip.Addr, r nat.Report) (*probe.Held, error) {
	cfg := probe.MapConfig{Local: netip.AddrPortFrom(local, 0), Servers: n.cfg.STUNTCP, Control: control(n.around.device(local)), Logger: n.log}
	if r.Type != nat.Symmetric {
		return probe.Map(ctx, cfg)
	}
	cfg.Timeout = time.Second
	var failed error
	for _, server := range nearest(r.TCP.Samples, 3) {
		cfg.Servers = []string{server.String()}
		held, err := probe.Map(ctx, cfg)
		if err == nil {
			return held, nil
		}
		failed = err
	}
	if failed == nil {
		cfg.Servers = n.cfg.STUNTCP
		return probe.Map(ctx, cfg)
	}
	return nil, failed
}

// nearest lists the servers of samples by their shortest round trip.
func nearest(samples []nat.Mapping, most int) []netip.AddrPort {
	sorted := slices.SortedStableFunc(slices.Values(samples), func(a, b nat.Mapping) int { return cmp.Compare(a.RTT, b.RTT) })
	var servers []netip.AddrPort
	for _, m := range sorted {
		if len(servers) < most && !slices.Contains(servers, m.Server) {
			servers = append(servers, m.Server)
		}
	}
	return servers
}

// predicted makes a mapping into an endpoint of the local ports from base on,
// of which the mapping itself has the first where the NAT is not symmetric. Where the NAT is symmetric,
// its next mappings count, which are those towards the peer. Where the NAT has
// one counter for all, several are made, one from each of the local ports that
// follow, and the peer aims at the one that is predicted for the last but one of
// them: whatever others take from the counter meanwhile, up to that number, one
// of ours is what it aims at.
func predicted(r nat.Report, m nat.Mapping, base netip.AddrPort, later, spread int) *endpoint {
	e := &endpoint{local: []netip.AddrPort{base}, external: []netip.AddrPort{m.External}, fresh: true, depth: r.Depth}
	if r.Type != nat.Symmetric {
		return e
	}
	n, aim := spread, spread-2
	if r.Delta.Kind != nat.Independent {
		n, aim = 1, 0 // nobody else moves these
	}
	b := nat.Basis{Type: r.Type, Delta: r.Delta, Last: m, Ports: r.TCP.Ports, Most: 1}
	var local, external []netip.AddrPort
	for k := range n {
		port := int(base.Port()) + k
		if port > 65535 {
			break
		}
		b.Local, b.Between = uint16(port), later+k
		for _, p := range nat.Predict(b) {
			local = append(local, netip.AddrPortFrom(base.Addr(), b.Local))
			external = append(external, netip.AddrPortFrom(m.External.Addr(), p.Port))
		}
	}
	if len(external) > 0 { // else: random, and the peer needs the address alone
		e.local, e.external = local, external[min(aim, len(external)-1):][:1]
	}
	return e
}

// plan makes the endpoint's part of a meeting into orders for punch.Open.
func (e *endpoint) plan(m punch.Meeting, a punch.Action, to []netip.AddrPort, wait, oneWay time.Duration) punch.Plan {
	p := punch.Plan{Wait: min(wait, punch.MaxWait), Device: e.device, Why: m.Method.String() + ": " + m.Why}
	if a.Prime && e.depth > 0 {
		p.TTL = e.depth + 1
		p.Fallback = 4*oneWay + fallbackAfter
	}
	if m.Method == punch.ByBirthday {
		p.Tuples = []punch.Tuple{{Local: e.local[0], Remote: to[0]}}
		p.Birthday = &punch.Birthday{Dials: punch.BirthdayDials, Rate: punch.BirthdayRate}
		if a.Prime {
			p.Birthday, p.Fallback = &punch.Birthday{Sockets: punch.BirthdaySockets}, 0
		}
		return p
	}
	if a.Dial {
		p.Tuples = e.tuples(to)
	}
	for _, t := range p.Tuples {
		if e.fresh && !slices.Contains(p.Listen, t.Local) {
			p.Listen = append(p.Listen, t.Local)
		}
	}
	if len(p.Tuples) == 0 {
		p.Listen = e.local[:1]
	}
	return p
}

// tuples are all of our local ports towards what the peer told: one port where
// it stands or is aimed at.
func (e *endpoint) tuples(to []netip.AddrPort) []punch.Tuple {
	var all []punch.Tuple
	for _, remote := range to {
		for _, local := range e.local {
			all = append(all, punch.Tuple{Local: local, Remote: remote})
		}
	}
	return all[:min(len(all), punch.MaxTuples)]
}
