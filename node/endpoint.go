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

// needs is what one round wants of our end.
type needs struct {
	look     bool // for a mapping of now, though one may stand
	round    int  // from 0
	mappings int  // at most, where the next port is a prediction
	toward   []netip.AddrPort
}

// needsOf gives them for one end's part of a meeting: a later round takes a
// fresh mapping, since the one that stands did not serve.
func needsOf(a punch.Action, round, mappings int, toward ...netip.AddrPort) needs {
	return needs{look: a.Probe || round > 0, round: round, mappings: mappings, toward: toward}
}

// preparePunch takes the warm port where its mapping stands and its four-tuple
// towards the peer is free. Otherwise it takes a fresh port: whose mapping is
// looked up, or known where the NAT keeps the port numbers. The connection that
// revealed a mapping is kept until release, since some NATs end the mapping
// with it.
func (n *Node) preparePunch(ctx context.Context, i address.Interface, want needs) (*endpoint, error) {
	local := n.around.local(i.Index)
	e, err := n.prepareAt(ctx, local, i, want)
	if err == nil {
		e.device = n.around.device(local)
	}
	return e, err
}

func (n *Node) prepareAt(ctx context.Context, local netip.Addr, i address.Interface, want needs) (*endpoint, error) {
	r := n.around.report(local)
	if !want.look {
		if release, ok := n.tuples.take(want.toward); ok {
			return &endpoint{
				local: []netip.AddrPort{netip.AddrPortFrom(local, n.warm.port)}, external: []netip.AddrPort{i.ExternalEndpoint()},
				depth: r.Depth, release: release,
			}, nil
		}
	}
	if !i.NAT.Translates() || !want.look && (keepsPorts(r) || random(i)) {
		return n.unaskedEndpoint(i, r, local)
	}
	if last, done, ok := n.foreseen(local, r, want); ok {
		base, err := n.fresh.row(local, mappings(r, want.mappings))
		if err != nil {
			done()
			return nil, err
		}
		e := predicted(r, last, base, 0, want.mappings)
		e.release = done
		return e, nil
	}
	row, ahead := 1, 0 // ports, and where in the row the punch begins
	if r.Type == nat.Symmetric {
		row, ahead = 1+mappings(r, want.mappings), 1
	}
	held, err := n.lookUp(ctx, local, r, row)
	if err != nil {
		return nil, fmt.Errorf("looking up a fresh mapping: %w", err)
	}
	m := held.Mapping()
	base := netip.AddrPortFrom(m.Local.Addr(), m.Local.Port()+uint16(ahead))
	e := predicted(r, m, base, held.Later, want.mappings)
	e.release = func() { _ = held.Close() }
	if counts(r) {
		done := n.counters.looked(local, r, m)
		e.release = func() { _ = held.Close(); done() }
	}
	return e, nil
}

// mappings is how many are made for a punch, of spread that may be: one where
// nobody else moves the next port.
func mappings(r nat.Report, spread int) int {
	if counts(r) {
		return spread
	}
	return 1
}

// random reports whether no port of the NAT can be known, so that a look would
// tell nothing but its address.
func random(i address.Interface) bool { return i.NAT == nat.Symmetric && !i.Delta.Predictable() }

// foreseen gives a mapping from which the next one of a symmetric NAT follows
// without a fresh look: where the NAT goes by the local port, one that most
// others agree with, and where it has a counter that was followed, a recent one.
// Only a first round dares it.
func (n *Node) foreseen(local netip.Addr, r nat.Report, want needs) (m nat.Mapping, done func(), ok bool) {
	switch {
	case r.Type != nat.Symmetric || want.round > 0:
	case r.Delta.Kind == nat.Equal, r.Delta.Kind == nat.Preserving:
		if m, ok := nat.Typical(r.TCP.Samples, r.TCP.Ports); ok && r.Sure() {
			return m, func() {}, true
		}
	case counts(r):
		return n.counters.draw(local, r, want.mappings, time.Now())
	}
	return nat.Mapping{}, nil, false
}

// keepsPorts reports whether the external port of any local one is known
// without asking.
func keepsPorts(r nat.Report) bool {
	return r.Warm.IsValid() && r.Type != nat.Symmetric && (r.Delta.Kind == nat.Equal || r.Delta.Kind == nat.Preserving) && r.Sure()
}

// unaskedEndpoint takes a fresh port of which the outside is known, or cannot be.
func (n *Node) unaskedEndpoint(i address.Interface, r nat.Report, local netip.Addr) (*endpoint, error) {
	l, err := n.fresh.row(local, 1)
	if err != nil {
		return nil, err
	}
	e := &endpoint{local: []netip.AddrPort{l}, external: []netip.AddrPort{l}, fresh: true, depth: r.Depth, release: func() {}}
	switch {
	case random(i):
		e.external[0] = i.ExternalEndpoint() // of which the address holds
	case r.NATed():
		e.external[0] = netip.AddrPortFrom(r.External, l.Port())
		warm := nat.Mapping{Local: netip.AddrPortFrom(local, r.WarmPort), External: r.Warm}
		for _, p := range nat.Predict(nat.Basis{Type: r.Type, Delta: r.Delta, Last: warm, Local: l.Port(), Ports: r.TCP.Ports, Most: 1}) {
			e.external[0] = netip.AddrPortFrom(r.External, p.Port)
		}
	}
	return e, nil
}

// lookUp maps the first of row fresh ports that follow one another. On a NAT
// whose every mapping moves a counter one server is asked after another, the
// nearest first; otherwise all at once.
func (n *Node) lookUp(ctx context.Context, local netip.Addr, r nat.Report, row int) (*probe.Held, error) {
	ask := func(timeout time.Duration, servers ...string) (*probe.Held, error) {
		from, err := n.fresh.row(local, row)
		if err != nil {
			return nil, err
		}
		return probe.Map(ctx, probe.MapConfig{Local: from, Servers: servers, Timeout: timeout, Control: control(n.around.device(local)), Logger: n.log})
	}
	if r.Type != nat.Symmetric {
		return ask(0, n.cfg.STUNTCP...)
	}
	var failed error
	for _, server := range nearest(r.TCP.Samples, 3) {
		held, err := ask(time.Second, server.String())
		if err == nil {
			return held, nil
		}
		failed = err
	}
	if failed == nil {
		return ask(time.Second, n.cfg.STUNTCP...)
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
	n := mappings(r, spread)
	b := nat.Basis{Type: r.Type, Delta: r.Delta, Last: m, Ports: r.TCP.Ports, Most: 1}
	var local, external []netip.AddrPort
	for k := range n {
		b.Local, b.Between = base.Port()+uint16(k), later+k
		for _, p := range nat.Predict(b) {
			local = append(local, netip.AddrPortFrom(base.Addr(), b.Local))
			external = append(external, netip.AddrPortFrom(m.External.Addr(), p.Port))
		}
	}
	if len(external) > 0 { // else: random, and the peer needs the address alone
		e.local, e.external = local, external[max(len(external)-2, 0):][:1]
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
