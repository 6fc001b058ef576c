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

// spread is how many ports are told to the peer where the next one is a
// prediction.
const spread = 4

// endpoint is our end of one punch: where its SYNs leave from, and how that is
// seen from outside.
type endpoint struct {
	local    netip.AddrPort
	external []netip.AddrPort // predicted, likeliest first
	fresh    bool             // a port of its own, on which nobody listens yet
	depth    int              // of our own NATs
	release  func()
}

// preparePunch takes the warm port where its mapping stands and its four-tuple
// towards the peer is free, and otherwise a fresh port whose mapping it looks
// up. The connection that revealed the mapping is kept until release, since
// some NATs end the mapping with it.
func (n *Node) preparePunch(ctx context.Context, i address.Interface, lookUp bool, toward []netip.AddrPort) (*endpoint, error) {
	local := n.around.local(i.Index)
	r := n.around.report(local)
	if !lookUp {
		if release, ok := n.tuples.take(toward); ok {
			return &endpoint{
				local: netip.AddrPortFrom(local, n.warm.port), external: []netip.AddrPort{i.ExternalEndpoint()},
				depth: r.Depth, release: release,
			}, nil
		}
	}
	if !i.NAT.Translates() {
		// Outside and inside are the same: any free port will do.
		l, err := freePort(local)
		return &endpoint{local: l, external: []netip.AddrPort{l}, fresh: true, depth: r.Depth, release: func() {}}, err
	}
	held, err := n.lookUp(ctx, local, r)
	if err != nil {
		return nil, fmt.Errorf("looking up a fresh mapping: %w", err)
	}
	e := predicted(r, held.Mapping(), held.Later)
	e.release = func() { _ = held.Close() }
	return e, nil
}

// lookUp maps a fresh port. On a NAT whose every mapping moves a counter one
// server is asked after another, the nearest first; otherwise all at once.
func (n *Node) lookUp(ctx context.Context, local netip.Addr, r nat.Report) (*probe.Held, error) {
	cfg := probe.MapConfig{Local: netip.AddrPortFrom(local, 0), Servers: n.cfg.STUNTCP, Logger: n.log}
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

// predicted makes a fresh mapping into an endpoint. Where the NAT is symmetric,
// its next mapping counts, which is the one towards the peer: from the same
// local port, or from the next one where the NAT's step depends on that.
func predicted(r nat.Report, m nat.Mapping, later int) *endpoint {
	e := &endpoint{local: m.Local, external: []netip.AddrPort{m.External}, fresh: true, depth: r.Depth}
	if r.Type != nat.Symmetric {
		return e
	}
	if r.Delta.Kind != nat.Independent && m.Local.Port() < 65535 {
		e.local = netip.AddrPortFrom(m.Local.Addr(), m.Local.Port()+1)
	}
	ports := nat.Predict(nat.Basis{
		Type: r.Type, Delta: r.Delta, Last: m, Local: e.local.Port(), Between: later, Ports: r.TCP.Ports, Most: spread,
	})
	if len(ports) == 0 { // random: the peer needs the address alone
		return e
	}
	e.external = nil
	for _, p := range ports {
		e.external = append(e.external, netip.AddrPortFrom(m.External.Addr(), p.Port))
	}
	return e
}

// plan makes the endpoint's part of a meeting into orders for punch.Open.
func (e *endpoint) plan(m punch.Meeting, a punch.Action, to []netip.AddrPort, wait, oneWay time.Duration) punch.Plan {
	p := punch.Plan{Local: e.local, Listen: e.fresh, Wait: min(wait, punch.MaxWait), Why: m.Method.String() + ": " + m.Why}
	if a.Dial {
		p.Dial = to[:min(len(to), punch.MaxPorts)]
	}
	if a.Prime && e.depth > 0 {
		p.TTL = e.depth + 1
		p.Fallback = 4*oneWay + fallbackAfter
	}
	return p
}
