package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/probe"
)

// probeAll asks the STUN servers about every place at once. It returns when
// each has a first report or has failed, with the errors where all failed;
// refinements go on until ctx ends, and n.probing waits for them.
func (n *Node) probeAll(ctx context.Context) error {
	list := n.around.uplinks()
	if len(list) == 0 {
		return errNoPlace
	}
	firsts := make(chan error, len(list))
	for _, p := range list {
		n.probing.Go(func() {
			var once sync.Once
			tell := func(err error) { once.Do(func() { firsts <- err }) }
			tell(n.probe(ctx, p, func(r nat.Report) {
				n.learn(p, r)
				if usable(r) {
					tell(nil)
				}
			}))
		})
	}
	var errs []error
	for range list {
		select {
		case err := <-firsts:
			errs = append(errs, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.around.asked(list...)
	return allFailed(errs)
}

// probe is ask for those who look at what was learned.
func (n *Node) probe(ctx context.Context, p place, progress func(nat.Report)) error {
	_, err := n.ask(ctx, p, progress)
	return err
}

// ask asks everything about one place, and learns the last report, unless nobody
// has answered.
func (n *Node) ask(ctx context.Context, p place, progress func(nat.Report)) (nat.Report, error) {
	defer n.counters.probing(p.addr)()
	r, err := probe.Run(ctx, probe.Config{
		Servers: n.cfg.STUN, TCPServers: n.cfg.STUNTCP,
		Local: p.addr, WarmPort: n.warm.port, Control: control(p.device), Logger: n.log, Progress: progress,
	})
	if err != nil {
		n.log.Info("probe failed", "interface", p.name, "local", p.addr, "error", err)
		return r, err
	}
	n.learn(p, r)
	return r, nil
}

// learn takes a report over and makes the node's address say so.
func (n *Node) learn(p place, r nat.Report) {
	n.around.put(p.addr, r)
	if r.Warm.IsValid() {
		n.warm.confirm(p.addr)
	}
	n.log.Info("nat report", "interface", p.name, "local", p.addr, "external", r.External,
		"type", r.Type.String(), "delta", r.Delta.String(), "warm", r.Warm, slog.Duration("took", r.Took))
}

// usable reports whether an address may be made of an early report. Whether the
// ports of a symmetric NAT can be predicted shows only later, and an address
// that says no is never tried.
func usable(r nat.Report) bool {
	return r.UDP.Answered+r.TCP.Answered > 0 && (r.Type != nat.Symmetric || r.Sure() && r.Delta.Predictable())
}

// verify asks where the warm port of each place is mapped by now, and learns
// everything anew about those where that is not as it was. The error is what
// they met where all failed.
func (n *Node) verify(ctx context.Context, keepers map[netip.Addr]*probe.Held) error {
	list := n.around.uplinks()
	for a, held := range keepers {
		if !slices.ContainsFunc(list, func(p place) bool { return p.addr == a }) {
			_ = held.Close()
			delete(keepers, a)
		}
	}
	if len(list) == 0 {
		return errNoPlace
	}
	errs := make([]error, len(list))
	holds := make([]*probe.Held, len(list))
	var asked sync.WaitGroup
	for k, p := range list {
		held := keepers[p.addr]
		asked.Go(func() { holds[k], errs[k] = n.verifyPlace(ctx, p, held) })
	}
	asked.Wait()
	for k, p := range list {
		if delete(keepers, p.addr); holds[k] != nil {
			keepers[p.addr] = holds[k]
		}
	}
	if ctx.Err() == nil {
		n.around.asked(list...)
	}
	return allFailed(errs)
}

// verifyPlace does it for one place. It takes held over, the connection that
// has kept the mapping until now if one has, and gives the one that must keep
// it from now on: none where a broker's connection does.
func (n *Node) verifyPlace(ctx context.Context, p place, held *probe.Held) (*probe.Held, error) {
	known := n.around.report(p.addr)
	if !known.Warm.IsValid() || n.noTCP() {
		return nil, n.probe(ctx, p, func(r nat.Report) {
			if usable(r) {
				n.learn(p, r)
			}
		})
	}
	held, err := n.askAgain(ctx, p, known, held)
	if err != nil {
		n.log.Info("mapping not verified", "local", p.addr, "error", err)
		return nil, err
	}
	progress := func(r nat.Report) { // never to say less than the address does already
		if usable(r) && r.Warm.IsValid() {
			n.learn(p, r)
		}
	}
	switch seen := held.Mapping().External; {
	case moved(known, seen):
		n.log.Info("mapping moved", "local", p.addr, "from", known.Warm, "to", seen)
		n.around.put(p.addr, remapped(known, seen))
		n.warm.dropOlder(p.addr) // they hang on the mapping that was
		err = n.probe(ctx, p, progress)
	case seen.Addr() != known.External:
		// One of several addresses, or the network changed in the midst of the
		// last probe, which then looks like it.
		err = n.probe(ctx, p, progress)
	default:
		n.warm.confirm(p.addr)
	}
	if !known.Type.Translates() || n.brokerKeeps(p.addr) {
		_ = held.Close()
		return nil, err
	}
	return held, err
}

// askAgain asks over the held connection, or over a new one: to the servers
// that were near before, and if they are gone to all.
func (n *Node) askAgain(ctx context.Context, p place, known nat.Report, held *probe.Held) (*probe.Held, error) {
	if held != nil {
		if _, err := held.Refresh(ctx); err == nil {
			return held, nil
		}
	}
	cfg := probe.MapConfig{Local: netip.AddrPortFrom(p.addr, n.warm.port), Control: control(p.device), Logger: n.log}
	for _, server := range nearest(known.TCP.Samples, 2) {
		cfg.Servers = append(cfg.Servers, server.String())
	}
	if len(cfg.Servers) > 0 {
		if held, err := probe.Map(ctx, cfg); err == nil {
			return held, nil
		}
	}
	cfg.Servers = n.cfg.STUNTCP
	return probe.Map(ctx, cfg)
}

// control binds sockets to a device, if one is named.
func control(device string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error { return bindTo(device, c) }
}

// noTCP reports whether nobody may be asked over TCP.
func (n *Node) noTCP() bool { return n.cfg.STUNTCP != nil && len(n.cfg.STUNTCP) == 0 }

// noSTUN reports whether nobody may be asked at all.
func (n *Node) noSTUN() bool { return n.noTCP() && n.cfg.STUN != nil && len(n.cfg.STUN) == 0 }

// brokerKeeps reports whether a broker's connection keeps the mapping of the
// warm port at that local address.
func (n *Node) brokerKeeps(local netip.Addr) bool {
	return slices.ContainsFunc(n.channel.Open(), func(b address.Broker) bool {
		return n.channel.Local(b) == netip.AddrPortFrom(local, n.warm.port)
	})
}

// moved reports whether a mapping that was seen now contradicts what is known.
// A symmetric NAT has another port for everybody, and may have several
// addresses. Any other keeps the mapping of one port as it is, as long as
// anything uses it.
func moved(known nat.Report, seen netip.AddrPort) bool {
	if known.Type == nat.Symmetric {
		return elsewhere(known, seen.Addr())
	}
	return seen != known.Warm
}

// elsewhere reports whether an external address is none of those known.
func elsewhere(known nat.Report, seen netip.Addr) bool {
	return known.External.IsValid() && seen != known.External && !slices.Contains(known.Externals, seen)
}

// remapped is what is known for now where the mapping has moved: the same kind
// of NAT, seen elsewhere.
func remapped(known nat.Report, seen netip.AddrPort) nat.Report {
	known.External, known.Warm = seen.Addr(), seen
	known.Externals = []netip.Addr{seen.Addr()}
	return known
}

var errNoPlace = errors.New("there is no network interface with an address")

// allFailed joins errs, or gives nil where one of them is.
func allFailed(errs []error) error {
	if slices.Contains(errs, nil) {
		return nil
	}
	return errors.Join(errs...)
}
