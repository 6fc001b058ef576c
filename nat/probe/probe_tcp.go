package probe

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/errno"
)

// runTCP dials every server from the warm port, then looks at other ports and
// IPs that they name, and sees how ports move. The warm port's connections
// stay open until all is done, and those of a burst until the burst is over,
// since some NATs give a port back at the first RST.
func (p *prober) runTCP(ctx context.Context, servers []target, enough func()) {
	defer enough()
	if len(servers) == 0 {
		return
	}
	warm := p.cfg.WarmPort
	if warm == 0 {
		var err error
		if warm, err = freePort(p.local, 0); err != nil {
			p.failed(nat.TCP, servers[0], err)
			return
		}
	}
	h := &tcpHand{p: p, warm: dialer{netip.AddrPortFrom(p.local, warm), true, p.cfg.Control}, moved: make(chan struct{})}
	defer h.close(0)
	start := time.Now()
	h.askAll(ctx, servers, true)
	alive := h.alive()
	if len(alive) == 0 {
		return
	}
	var others, report, own sync.WaitGroup
	defer own.Wait()
	defer report.Wait()
	others.Go(func() {
		if m := nat.ClassifyMapping(p.mappings(nat.TCP)); m.Behavior == nat.EndpointIndependent && m.Confidence > 0.7 {
			return
		}
		if more := h.others(servers); len(more) > 0 {
			h.askAll(ctx, more, false)
		}
	})
	own.Go(func() { h.own(ctx, &others) })
	burst := make(chan struct{})
	report.Go(func() { // the first report has the first burst, if that is in time
		others.Wait()
		longest := time.Duration(0)
		for _, m := range p.mappings(nat.TCP) {
			longest = max(longest, m.RTT)
		}
		late := time.NewTimer(time.Until(start.Add(3*longest + silence(longest))))
		defer late.Stop()
		select {
		case <-burst:
		case <-late.C:
		}
		enough()
	})
	p.moves(ctx, nat.TCP, alive, h.burst, sync.OnceFunc(func() { close(burst) }))
	close(h.moved)
}

// tcpHand holds the connections of one probe.
type tcpHand struct {
	p     *prober
	warm  dialer
	moved chan struct{} // closed when all ports have been looked at

	mu    sync.Mutex
	conns []paidConn
	heard []tcpAnswer // from the warm port, the quickest first
}

// paidConn is a connection and what was taken out of the budget for it.
type paidConn struct {
	*net.TCPConn
	paid int
}

type tcpAnswer struct {
	server, other netip.AddrPort
	callers       uint32 // whence it can call us, as flags of CHANGE-REQUEST
}

// askAll asks servers from the warm port, all at once but in order. Configured
// ones count as asked.
func (h *tcpHand) askAll(ctx context.Context, servers []target, configured bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan time.Duration, len(servers))
	var wg sync.WaitGroup
	h.p.lane.Lock()
	for _, t := range servers {
		if configured {
			h.p.asked(nat.TCP)
		}
		h.inOrder(&wg, func(begun func()) {
			start := time.Now()
			r, err := h.ask(ctx, h.warm, t.at, packetsPerConn, begun)
			if err != nil {
				if configured {
					h.p.failed(nat.TCP, t, err)
				}
				answers <- -1
				return
			}
			h.mu.Lock()
			h.heard = append(h.heard, tcpAnswer{t.at, r.other, r.call})
			h.mu.Unlock()
			// With the handshake it took two round trips; twice this is three.
			answers <- time.Since(start) * 3 / 4
		})
	}
	h.p.lane.Unlock()
	collectUntil(ctx, len(servers), answers)
	stop()
	wg.Wait()
}

// inOrder starts f, and returns a moment after f has called begun or ended.
func (h *tcpHand) inOrder(wg *sync.WaitGroup, f func(begun func())) {
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	wg.Go(func() {
		defer begin()
		f(begin)
	})
	<-begun
	t := time.NewTimer(gap)
	defer t.Stop()
	<-t.C
}

// ask opens a connection, asks over it, and keeps it. pays is what it will take.
func (h *tcpHand) ask(ctx context.Context, d dialer, to netip.AddrPort, pays int, begun func()) (reply, error) {
	if !h.p.tcpBudget.take(pays) {
		return reply{}, errSpent
	}
	start := time.Now()
	c, sent, err := d.dial(ctx, to, begun)
	if err != nil {
		spent := 1 // a SYN, and again after a second
		if time.Since(start) > time.Second {
			spent = 3
		}
		if errno.Is(err, syscall.EADDRINUSE) || errno.Is(err, syscall.EADDRNOTAVAIL) {
			spent = 0
		}
		h.p.tcpBudget.give(pays - spent)
		return reply{}, cause(ctx, err)
	}
	h.mu.Lock()
	h.conns = append(h.conns, paidConn{c, pays})
	h.mu.Unlock()
	r, err := question(ctx, c)
	if err == nil {
		h.p.heard(nat.TCP, tcpMapping(c, r, sent))
	}
	return r, err
}

// alive gives the servers that have answered, the quickest first.
func (h *tcpHand) alive() []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []netip.AddrPort
	for _, a := range h.heard {
		out = append(out, a.server)
	}
	return out
}

// others gives, where it matters, up to two further addresses that are worth asking: the other
// port of one server, without which address-dependent mapping can't be told
// from address- and port-dependent, unless two ports of one IP were asked; and
// a second IP, if all answers came from one.
func (h *tcpHand) others(servers []target) []target {
	h.mu.Lock()
	defer h.mu.Unlock()
	ips, twoPorts := map[netip.Addr]bool{}, false
	for _, a := range h.heard {
		twoPorts = twoPorts || ips[a.server.Addr()]
		ips[a.server.Addr()] = true
	}
	var out []target
	add := func(from, at netip.AddrPort) bool {
		asked := slices.ContainsFunc(servers, func(t target) bool { return t.at == at }) ||
			slices.ContainsFunc(out, func(t target) bool { return t.at == at })
		if asked || !maySend(from, at) {
			return false
		}
		out = append(out, target{at.String(), at})
		return true
	}
	for _, a := range h.heard {
		if !maySend(a.server, a.other) {
			continue
		}
		if !twoPorts {
			twoPorts = add(a.server, netip.AddrPortFrom(a.server.Addr(), a.other.Port()))
		}
		if len(ips) == 1 && !ips[a.other.Addr()] && add(a.server, a.other) {
			ips[a.other.Addr()] = true
		}
	}
	return out
}

// burst asks servers in turn from each of the local ports, in order.
func (h *tcpHand) burst(ctx context.Context, locals []uint16, servers []netip.AddrPort, wait time.Duration) error {
	h.settle()
	if !h.p.tcpBudget.has(len(locals) * packetsPerQuick) {
		return errSpent // half a burst shows nothing
	}
	ctx, cancel := context.WithTimeout(ctx, wait+time.Duration(len(locals))*gap)
	defer cancel()
	var wg sync.WaitGroup
	var taken atomic.Bool
	h.p.lane.Lock()
	for i, port := range locals {
		d := dialer{netip.AddrPortFrom(h.p.local, port), false, h.p.cfg.Control}
		h.inOrder(&wg, func(begun func()) {
			_, err := h.ask(ctx, d, servers[i%len(servers)], packetsPerQuick, begun)
			if errno.Is(err, syscall.EADDRINUSE) {
				taken.Store(true)
			}
			if err != nil {
				h.p.cfg.Logger.Debug("stun burst", "local", d.local, "error", err)
			}
		})
	}
	h.p.lane.Unlock()
	wg.Wait()
	h.close(h.warm.local.Port())
	if taken.Load() {
		return errNoFreePorts
	}
	return nil
}

// settle makes the budget agree with what the kernel has sent on the open
// connections, retransmissions included.
func (h *tcpHand) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.conns {
		h.conns[i].settle(&h.p.tcpBudget, false)
	}
}

func (c *paidConn) settle(b *budget, last bool) {
	sent := packetsOut(c.TCPConn)
	if sent == 0 {
		return // unknown
	}
	if sent++; last || sent > c.paid { // and the RST
		b.give(c.paid - sent)
		c.paid = sent
	}
}

// close resets all connections but those from the port but. Those that are
// quick about it have never sent the ACK of the answer.
func (h *tcpHand) close(but uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = slices.DeleteFunc(h.conns, func(c paidConn) bool {
		if uint16(c.LocalAddr().(*net.TCPAddr).Port) == but {
			return false
		}
		c.settle(&h.p.tcpBudget, true)
		_ = c.Close()
		return true
	})
}
