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
}

// mapPorts has the routers of all places forward the warm port until the node
// ends, and follows the places as they come and go.
func (n *Node) mapPorts() {
	var mappings sync.WaitGroup
	defer mappings.Wait()
	running := make(map[netip.Addr]context.CancelFunc)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		here := make(map[netip.Addr]bool)
		for _, p := range n.around.places() {
			here[p.addr] = true
			if running[p.addr] != nil || p.addr.IsLoopback() {
				continue
			}
			ctx, cancel := context.WithCancel(n.ctx)
			running[p.addr] = cancel
			mappings.Go(func() { n.mapPort(ctx, p.addr) })
		}
		for a, cancel := range running {
			if !here[a] {
				cancel()
				delete(running, a)
			}
		}
		select {
		case <-look.C:
		case <-n.ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			return
		}
	}
}

// mapPort keeps the mapping of one place until ctx ends.
func (n *Node) mapPort(ctx context.Context, local netip.Addr) {
	defer n.around.forward(local, netip.AddrPort{})
	for {
		m, err := portmap.Open(ctx, portmap.Config{
			Local: local, Port: n.warm.port, Logger: n.log,
			OnChange: func(external netip.AddrPort) { n.around.forward(local, external) },
		})
		if err == nil {
			<-ctx.Done()
			_ = m.Close()
			return
		}
		n.log.Debug("port not mapped", "local", local, "none", errors.Is(err, portmap.ErrNone), "error", err)
		if !pause(ctx, remapAfter) {
			return
		}
	}
}
