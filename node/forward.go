package node

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/nat/portmap"
)

// remapAfter is when a router that did not map the port is asked again: most
// never will, and one that was starting up soon does.
const remapAfter = 10 * time.Minute

// forwarded is where a router forwards the warm port of that place; zero where
// none does.
func (s *surroundings) forwarded(local netip.Addr) netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mapped[local]
}

// forward notes it; the zero value takes it back.
func (s *surroundings) forward(local netip.Addr, external netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if external.IsValid() {
		s.mapped[local] = external
	} else {
		delete(s.mapped, local)
	}
	s.news.ring()
}

// mapPorts has the routers of all places forward the warm port until the node
// ends, and follows the places as they come and go.
func (n *Node) mapPorts() {
	var mappings sync.WaitGroup
	defer mappings.Wait()
	running := make(map[netip.Addr]context.CancelFunc)
	ended := make(map[netip.Addr]chan struct{}) // the last mapping of a place, when it is deleted
	for {
		news := n.around.news.wait()
		here := make(map[netip.Addr]bool)
		for _, p := range n.around.places() {
			here[p.addr] = true
			if running[p.addr] != nil || p.addr.IsLoopback() {
				continue
			}
			ctx, cancel := context.WithCancel(n.ctx)
			running[p.addr] = cancel
			before, done := ended[p.addr], make(chan struct{})
			ended[p.addr] = done
			mappings.Go(func() {
				defer close(done)
				if before != nil {
					<-before // or it would delete ours
				}
				n.mapPort(ctx, p.addr)
			})
		}
		for a, cancel := range running {
			if !here[a] {
				cancel()
				delete(running, a)
			}
		}
		select {
		case <-news:
		case <-n.ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			return
		}
	}
}

// mapPort keeps the mapping of one place until ctx ends. Whenever the router
// may have forgotten it, or may be another, it is looked at.
func (n *Node) mapPort(ctx context.Context, local netip.Addr) {
	defer n.around.forward(local, netip.AddrPort{})
	for {
		shaken := n.shaken.wait()
		m, err := portmap.Open(ctx, portmap.Config{
			Local: local, Port: n.warm.port, Logger: n.log,
			OnChange: func(external netip.AddrPort) { n.around.forward(local, external) },
		})
		if err == nil {
			for ctx.Err() == nil {
				select {
				case <-shaken:
					shaken = n.shaken.wait()
					m.Recheck()
				case <-ctx.Done():
				}
			}
			_ = m.Close()
			return
		}
		n.log.Debug("port not mapped", "local", local, "none", errors.Is(err, portmap.ErrNone), "error", err)
		again := time.NewTimer(remapAfter)
		select {
		case <-again.C:
		case <-shaken:
		case <-ctx.Done():
		}
		again.Stop()
		if !pause(ctx, verifyPause) {
			return
		}
	}
}
