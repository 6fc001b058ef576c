package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/errno"
)

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

// acceptPause keeps a want of descriptors from taking the processor as well.
const acceptPause = 5 * time.Millisecond

// accept takes in whoever comes, a few at most, until the listener is closed.
func (o *ownPort) accept() {
	for {
		c, err := o.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause) // gone before it was taken in, or out of descriptors
			continue
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
