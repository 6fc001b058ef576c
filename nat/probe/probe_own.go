package probe

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

const (
	// packetsOfCalls is what being called takes besides the connection: for
	// each of two calls an answer to the SYN and perhaps an RST.
	packetsOfCalls = 4
	// packetsOfHairpin is two SYNs, an answer to each, and an RST or ACK for
	// each of those.
	packetsOfHairpin = 6
	// patienceOfCalls is how long a server may take over its calls, besides
	// the round trips.
	patienceOfCalls = callTime + 200*time.Millisecond
	// hairpinTime is how long two of our ports try to meet. It is shorter than
	// the kernel's second SYN.
	hairpinTime = 600 * time.Millisecond
)

// own makes a port of its own, which listens and has written to one server
// only, and sees what others meet there: that server when it calls from
// elsewhere, which shows the filter, and our own warm port by way of its
// external endpoint, which shows hairpinning. It spends only what the other
// tests leave.
func (h *tcpHand) own(ctx context.Context, others *sync.WaitGroup) {
	others.Wait()
	mapping := nat.ClassifyMapping(h.p.mappings(nat.TCP))
	turn := mapping.Behavior == nat.EndpointIndependent && mapping.Translated
	with := h.trusted(mapping.Lying)
	callers := slices.Clone(with)
	callers = slices.DeleteFunc(callers, func(a tcpAnswer) bool { return a.callers == 0 })
	slices.SortStableFunc(callers, func(a, b tcpAnswer) int { // a second IP shows most
		return cmp.Compare(b.callers&changeIP, a.callers&changeIP)
	})
	if len(callers) == 0 && (!turn || len(with) == 0) {
		return
	}
	select { // how ports move matters more
	case <-h.moved:
	case <-ctx.Done():
		return
	}
	if len(callers) == 0 {
		h.visit(ctx, with[0], mapping.External)
		return
	}
	// Two servers, since what one says alone may be a lie: at once where the
	// budget allows, or else the second after what the first has left over.
	const each = packetsPerConn + packetsOfCalls
	var first, second []nat.Filtered
	var both sync.WaitGroup
	again := func() { second = h.visit(ctx, callers[1], netip.AddrPort{}) }
	together := len(callers) > 1 && h.p.tcpBudget.has(2*each)
	if together {
		both.Go(again)
	}
	meet := netip.AddrPort{}
	if turn && h.p.tcpBudget.has(min(2, len(callers))*each+packetsOfHairpin) {
		meet = mapping.External
	}
	first = h.visit(ctx, callers[0], meet)
	both.Wait()
	if !together && len(callers) > 1 {
		again()
	}
	if len(callers) > 1 {
		first, second = confirmed(first, second), confirmed(second, first)
	}
	h.p.filtered(nat.TCP, append(first, second...)...)
}

// confirmed leaves only those refusals in fs that another server has met as well.
func confirmed(fs, others []nat.Filtered) []nat.Filtered {
	fs = slices.Clone(fs)
	for i, f := range fs {
		if !slices.ContainsFunc(others, func(o nat.Filtered) bool { return o.ChangeIP == f.ChangeIP && o.Refusal == f.Refusal }) {
			fs[i].Refusal = nat.RefusalUnknown
		}
	}
	return fs
}

// trusted gives the servers that have answered, but for the liars.
func (h *tcpHand) trusted(lying []netip.AddrPort) []tcpAnswer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.heard), func(a tcpAnswer) bool { return slices.Contains(lying, a.server) })
}

// visit makes an own port for a server, asks to be called if it calls, and
// meets the warm port where its endpoint is given. What it did not spend it
// gives back.
func (h *tcpHand) visit(ctx context.Context, a tcpAnswer, warm netip.AddrPort) (out []nat.Filtered) {
	pays := packetsPerConn
	if a.callers != 0 {
		pays += packetsOfCalls
	}
	if warm.IsValid() {
		pays += packetsOfHairpin
	}
	if !h.p.tcpBudget.take(pays) {
		return nil
	}
	o, err := h.openOwn(ctx, a)
	if err != nil {
		h.p.cfg.Logger.Debug("own port", "server", a.server, "error", err)
		return nil
	}
	var wg sync.WaitGroup
	if warm.IsValid() {
		wg.Go(func() { h.p.turned(o.hairpin(ctx, warm)) })
	}
	if a.callers != 0 {
		out = o.called(ctx)
	}
	wg.Wait()
	spent := packetsPerConn + 2*o.close()
	if warm.IsValid() {
		spent += packetsOfHairpin / 3 // the SYNs; what came of them is among the visitors
	}
	h.p.tcpBudget.give(max(0, pays-spent))
	return out
}
