package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/probe"
)

// surroundings is what the node knows of its networks: the report of each
// place, and what an address says about it.
type surroundings struct {
	places []place

	mu      sync.Mutex
	reports map[netip.Addr]nat.Report
}

func newSurroundings(list []place) *surroundings {
	return &surroundings{places: list, reports: make(map[netip.Addr]nat.Report)}
}

func (s *surroundings) put(local netip.Addr, r nat.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[local] = r
}

// report gives what is known of the place with that local address; the zero
// Report where nothing is.
func (s *surroundings) report(local netip.Addr) nat.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports[local]
}

// local gives the local address of the place with that index in the address.
func (s *surroundings) local(index int) netip.Addr {
	if index < 0 || index >= len(s.places) {
		return netip.Addr{}
	}
	return s.places[index].addr
}

// interfaces composes the part of the address that says where the node lives.
func (s *surroundings) interfaces(port uint16, hideLAN bool) (v4, v6 []address.Interface) {
	for n, p := range s.places {
		i := describePlace(p, n, s.report(p.addr), port, hideLAN)
		if p.addr.Is4() {
			v4 = append(v4, i)
		} else {
			v6 = append(v6, i)
		}
	}
	return v4, v6
}

// describePlace turns a report into an interface of the address. What is not
// known is written as the case that promises nothing.
func describePlace(p place, index int, r nat.Report, port uint16, hideLAN bool) address.Interface {
	i := address.Interface{
		NetIndex: p.netIndex, Index: index, Internal: p.addr, External: p.addr,
		Port: port, NAT: nat.Blocked, Delta: nat.Delta{Kind: nat.NotApplicable},
	}
	if r.External.IsValid() {
		i.External = r.External
	}
	if r.Type.Valid() {
		i.NAT = r.Type
	}
	if r.Delta.Kind.Valid() {
		i.Delta = r.Delta
	} else if i.NAT.Translates() {
		i.Delta = nat.Delta{Kind: nat.Random}
	}
	if r.Warm.IsValid() && r.Warm.Port() != port && i.NAT != nat.Symmetric {
		i.ExternalPort = r.Warm.Port()
	}
	if hideLAN && i.External != i.Internal {
		i.Internal = i.External
	}
	return i
}

// probeAll asks the STUN servers about every place at once. It returns when
// each has a first report or has failed, with the error of the first place
// where all failed; refinements go on until ctx ends, counted by wg.
func (n *Node) probeAll(ctx context.Context) error {
	if len(n.around.places) == 0 {
		return errors.New("there is no network interface with an address")
	}
	type first struct {
		place place
		err   error
	}
	firsts := make(chan first, len(n.around.places))
	for _, p := range n.around.places {
		n.all.Go(func() {
			var once sync.Once
			tell := func(err error) { once.Do(func() { firsts <- first{p, err} }) }
			r, err := probe.Run(ctx, probe.Config{
				Servers: n.cfg.STUN, TCPServers: n.cfg.STUNTCP,
				Local: p.addr, WarmPort: n.warm.port, Logger: n.log,
				Progress: func(r nat.Report) {
					n.learn(p, r)
					if usable(r) {
						tell(nil)
					}
				},
			})
			if err == nil {
				n.learn(p, r)
			}
			tell(err)
		})
	}
	var errs []error
	for range n.around.places {
		select {
		case f := <-firsts:
			if f.err != nil {
				n.log.Info("probe failed", "interface", f.place.name, "local", f.place.addr, "error", f.err)
			}
			errs = append(errs, f.err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// usable reports whether an address may be made of an early report. Whether the
// ports of a symmetric NAT can be predicted shows only later, and an address
// that says no is never tried.
func usable(r nat.Report) bool {
	return r.UDP.Answered+r.TCP.Answered > 0 && (r.Type != nat.Symmetric || r.Sure() && r.Delta.Predictable())
}

// learn takes a report over and makes the node's address say so.
func (n *Node) learn(p place, r nat.Report) {
	n.around.put(p.addr, r)
	n.log.Info("nat report", "interface", p.name, "local", p.addr, "external", r.External,
		"type", r.Type.String(), "delta", r.Delta.String(), "warm", r.Warm, slog.Duration("took", r.Took))
}

// Address is the node's address as it stands now.
func (n *Node) Address() address.Address {
	a := address.Address{Brokers: n.cfg.Brokers, Key: n.cfg.Key.Public(), MachineID: n.cfg.MachineID}
	a.V4, a.V6 = n.around.interfaces(n.warm.port, n.cfg.HideLAN)
	if len(a.Brokers) > 0 {
		if rtt := n.channel.RTT(a.Brokers[0]); rtt > 0 {
			rtt = max(rtt.Round(time.Millisecond), time.Millisecond)
			for _, list := range [][]address.Interface{a.V4, a.V6} {
				for k := range list {
					list[k].BrokerRTT = rtt
				}
			}
		}
	}
	return a
}

// Reports gives what is known of each place, in the order of the address.
func (n *Node) Reports() []nat.Report {
	var all []nat.Report
	for _, p := range n.around.places {
		all = append(all, n.around.report(p.addr))
	}
	return all
}
