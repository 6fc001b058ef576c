package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// mostFilterTests is how many servers are asked to answer from elsewhere.
const mostFilterTests = 2

// runUDP asks every server from one port, tests mapping and filtering with the
// first two that have a second address as soon as they have answered, and then
// sees how ports move. enough is called when there is enough for a first report.
func (p *prober) runUDP(ctx context.Context, servers []target, enough func()) {
	defer enough()
	if len(servers) == 0 {
		return
	}
	base, err := newAsker(ctx, p, 0)
	if err != nil {
		p.failed(nat.UDP, servers[0], err)
		return
	}
	defer base.close()
	baseCtx, stop := context.WithCancel(ctx)
	defer stop()

	answers := make(chan time.Duration, len(servers))
	alive := make(chan netip.AddrPort, len(servers))
	var testers sync.Mutex
	tested := map[netip.Addr]bool{}
	var again []func() // the tests once more, with more patience
	var asking sync.WaitGroup
	for _, t := range servers {
		p.asked(nat.UDP)
		asking.Go(func() {
			r, sent, err := base.ask(baseCtx, t.at, 0, retransmit, nil)
			if err != nil {
				p.failed(nat.UDP, t, err)
				answers <- -1
				return
			}
			p.heard(nat.UDP, base.mapping(r, t.at, sent))
			alive <- t.at
			testers.Lock()
			chosen := len(tested) < mostFilterTests && !tested[t.at.Addr()] && maySend(t.at, r.other) &&
				r.other.Port() != t.at.Port()
			if chosen {
				tested[t.at.Addr()] = true
				again = append(again, func() { p.testServer(ctx, base, t.at, r.other, 2*silence(r.rtt)) })
			}
			testers.Unlock()
			answers <- r.rtt
			if chosen {
				p.testServer(ctx, base, t.at, r.other, silence(r.rtt))
			}
		})
	}
	n := collectUntil(ctx, len(servers), answers)
	stop() // the silent ones
	asking.Wait()
	enough()
	p.cfg.Logger.Debug("stun over udp", "asked", len(servers), "answered", n)
	if n == 0 {
		return
	}
	if len(again) > 0 && p.filtering().Confidence < 0.5 {
		var wg sync.WaitGroup
		for _, test := range again {
			wg.Go(test)
		}
		wg.Wait()
	}
	var to []netip.AddrPort
	for len(alive) > 0 {
		to = append(to, <-alive)
	}
	p.moves(ctx, nat.UDP, to, p.burstUDP, func() {})
}

// testServer does RFC 5780 §4.3 and §4.4 with one server at once: it asks the
// server's other addresses from the base port, and asks the server from a new
// port to answer from them. The new port has written to nobody else, so that
// an answer from elsewhere shows what the filter lets in.
func (p *prober) testServer(ctx context.Context, base *asker, server, other netip.AddrPort, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	again := wait * 2 / 5 // one more copy, and time for its answer
	samePort := netip.AddrPortFrom(other.Addr(), server.Port())
	otherPort := netip.AddrPortFrom(server.Addr(), other.Port())

	var wg sync.WaitGroup
	alive := map[netip.AddrPort]*bool{other: new(bool), otherPort: new(bool), samePort: new(bool)}
	for at, yes := range alive {
		if at == server {
			continue
		}
		wg.Go(func() {
			if r, sent, err := base.ask(ctx, at, 0, again, nil); err == nil {
				*yes = true
				p.heard(nat.UDP, base.mapping(r, at, sent))
			}
		})
	}
	tests := []nat.Filtered{{Server: server, ChangePort: true}}
	if other.Addr() != server.Addr() {
		tests = append(tests, nat.Filtered{Server: server, ChangeIP: true, ChangePort: true})
	}
	refused := make([]bool, len(tests))
	fresh, err := newAsker(ctx, p, 0)
	if err != nil {
		cancel()
		wg.Wait()
		return
	}
	for i := range tests {
		flags := uint32(changePort)
		if tests[i].ChangeIP {
			flags |= changeIP
		}
		wg.Go(func() {
			r, _, err := fresh.ask(ctx, server, flags, again, nil)
			tests[i].From = r.from
			refused[i] = err != nil && err != errSilent
		})
	}
	wg.Wait()
	fresh.close()
	tests[0].Alive = *alive[otherPort]
	if len(tests) > 1 {
		tests[1].Alive = *alive[other]
	}
	for i, t := range tests {
		if !refused[i] {
			p.filtered(nat.UDP, t)
		}
	}
}

// burstUDP asks servers in turn from each of the local ports, in order. It
// returns when all have answered or been silent.
func (p *prober) burstUDP(ctx context.Context, locals []uint16, servers []netip.AddrPort, wait time.Duration) error {
	if !p.udpBudget.has(len(locals)) {
		return errSpent
	}
	var askers []*asker
	defer func() {
		for _, a := range askers {
			a.close()
		}
	}()
	for _, port := range locals {
		a, err := newAsker(ctx, p, port)
		if err != nil {
			return errNoFreePorts
		}
		a.lane = nil
		askers = append(askers, a)
	}
	ctx, cancel := context.WithTimeout(ctx, wait+time.Duration(len(locals))*gap)
	defer cancel()
	var wg sync.WaitGroup
	p.lane.Lock()
	for i, a := range askers {
		to := servers[i%len(servers)]
		begun := make(chan struct{})
		wg.Go(func() {
			begin := sync.OnceFunc(func() { close(begun) })
			defer begin()
			if r, sent, err := a.ask(ctx, to, 0, wait/2, begin); err == nil {
				p.heard(nat.UDP, a.mapping(r, to, sent))
			}
		})
		<-begun
	}
	p.lane.Unlock()
	wg.Wait()
	return nil
}
