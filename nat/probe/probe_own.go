package probe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/errno"
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

// ownPort is a local port with a listener and a connection to one server.
type ownPort struct {
	h        *tcpHand
	server   tcpAnswer
	dialer   dialer
	listener net.Listener
	conn     *net.TCPConn
	mapped   netip.AddrPort
	accepts  sync.WaitGroup

	mu       sync.Mutex
	accepted []*net.TCPConn
	came     chan struct{} // closed, and made anew, when somebody comes
}

func (h *tcpHand) openOwn(ctx context.Context, a tcpAnswer) (*ownPort, error) {
	lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		if err := reuseport.Control(network, address, c); err != nil || h.p.cfg.Control == nil {
			return err
		}
		return h.p.cfg.Control(network, address, c)
	}}
	lc.SetMultipathTCP(false)
	l, err := listenOwn(ctx, lc, h.p.local)
	if err != nil {
		return nil, err
	}
	o := &ownPort{
		h: h, server: a, listener: l, came: make(chan struct{}),
		dialer: dialer{unmapped(l.Addr().(*net.TCPAddr).AddrPort()), true, h.p.cfg.Control},
	}
	o.accepts.Go(o.accept)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	h.p.lane.Lock()
	leave := sync.OnceFunc(h.p.lane.Unlock)
	defer leave()
	var sent time.Time
	if o.conn, sent, err = o.dialer.dial(ctx, a.server, func() { time.AfterFunc(gap, leave) }); err != nil {
		o.close()
		return nil, err
	}
	r, err := question(ctx, o.conn)
	if err != nil {
		o.close()
		return nil, err
	}
	o.mapped = r.mapped
	h.p.heard(nat.TCP, tcpMapping(o.conn, r, sent))
	return o, nil
}

// listenOwn listens on a port that nobody else has: with SO_REUSEPORT the
// kernel would give out one that another socket of ours shares.
func listenOwn(ctx context.Context, lc net.ListenConfig, local netip.Addr) (net.Listener, error) {
	err := error(errNoFreePorts)
	for range drawTries {
		port, portErr := freePort(local, 0)
		if portErr != nil {
			return nil, portErr
		}
		var l net.Listener
		if l, err = lc.Listen(ctx, "tcp", netip.AddrPortFrom(local, port).String()); err == nil {
			return l, nil
		}
		if !errno.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
	return nil, err
}

// accept takes in whoever comes, a few at most, until the listener is closed.
func (o *ownPort) accept() {
	for {
		c, err := o.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // gone before it was taken in
		}
		o.keep(c.(*net.TCPConn))
	}
}

// keep holds a connection until close; of too many, none.
func (o *ownPort) keep(c *net.TCPConn) {
	_ = c.SetLinger(0)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.accepted) >= 16 {
		_ = c.Close()
		return
	}
	o.accepted = append(o.accepted, c)
	close(o.came)
	o.came = make(chan struct{})
}

// from waits for a visitor that is wanted; zero if none has come when ctx ends.
func (o *ownPort) from(ctx context.Context, wanted func(netip.AddrPort) bool) netip.AddrPort {
	for {
		o.mu.Lock()
		for _, c := range o.accepted {
			if r := remote(c); wanted(r) {
				o.mu.Unlock()
				return r
			}
		}
		came := o.came
		o.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return netip.AddrPort{}
		}
	}
}

// called asks the server to call from elsewhere. Who got in, our own listener
// knows; that others tried and did not, only the server can say.
func (o *ownPort) called(ctx context.Context) []nat.Filtered {
	ctx, cancel := context.WithTimeout(ctx, patienceOfCalls+time.Second)
	defer cancel()
	r, err := questionWith(ctx, o.conn, o.server.callers)
	if err != nil {
		return nil
	}
	server, other := o.server.server, o.server.other.Addr()
	wanted := [2]func(netip.AddrPort) bool{
		func(a netip.AddrPort) bool { return a.Addr() == server.Addr() && a != server },
		func(a netip.AddrPort) bool { return a.Addr() == other && other != server.Addr() },
	}
	var out []nat.Filtered
	for i, result := range r.results {
		t := nat.Filtered{Server: server, ChangePort: true, ChangeIP: i == 1, Alive: true, Refusal: result.refusal()}
		switch result {
		case notCalled:
			continue
		case callTaken:
			// The answer may have overtaken the end of the handshake.
			soon, done := context.WithTimeout(ctx, leastWait)
			t.From = o.from(soon, wanted[i])
			done()
			if !t.From.IsValid() {
				continue // by somebody else than us: that shows nothing
			}
		}
		out = append(out, t)
	}
	return out
}

// hairpin has this port and the warm one call each other at their external
// endpoints. Both have to, since the filter lets nobody in that was not
// written to.
func (o *ownPort) hairpin(ctx context.Context, warm netip.AddrPort) nat.Answer {
	if o.mapped.Addr() != warm.Addr() || o.mapped == warm {
		return nat.Unasked // a second address, or a server that points us at somebody else
	}
	ctx, cancel := context.WithTimeout(ctx, hairpinTime)
	defer cancel()
	var met, refused atomic.Bool
	var wg sync.WaitGroup
	dial := func(d dialer, to netip.AddrPort) {
		o.h.inOrder(&wg, func(begun func()) {
			switch c, _, err := d.dial(ctx, to, begun); {
			case err == nil:
				met.Store(true)
				o.keep(c)
				cancel()
			case ctx.Err() == nil:
				refused.Store(true)
			}
		})
	}
	wg.Go(func() {
		if o.from(ctx, func(a netip.AddrPort) bool { return a == warm }).IsValid() {
			met.Store(true)
			cancel()
		}
	})
	// Ours first; then that of the warm port finds the filter open, and us
	// listening, whatever became of ours.
	dial(o.dialer, warm)
	dial(o.h.warm, o.mapped)
	wg.Wait()
	switch {
	case met.Load():
		return nat.Yes
	case refused.Load():
		// Perhaps by the filter, which an RST has closed again.
		return nat.Unasked
	}
	return nat.No
}

// close resets everything, waits, and says how many visitors there were.
func (o *ownPort) close() int {
	_ = o.listener.Close()
	o.accepts.Wait()
	if o.conn != nil {
		_ = o.conn.Close()
	}
	for _, c := range o.accepted {
		_ = c.Close()
	}
	return len(o.accepted)
}
