package node

import (
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/libp2p/go-reuseport"
)

// doors are listeners on the warm port at one address each, bound to its
// interface. What comes in by a second uplink would be answered by the first
// one, where the default route leads; a listener that is bound answers where it
// was asked. It has to be at the address, too: of two at any address the kernel
// takes the older one, bound or not.
type doors struct {
	mu     sync.Mutex
	open   map[netip.Addr]net.Listener
	closed bool
}

// openDoors listens at the places that want it, and no longer at others.
func (n *Node) openDoors() {
	d := &n.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	wanted := make(map[netip.Addr]string)
	for _, p := range n.around.places() {
		if p.device != "" {
			wanted[p.addr] = p.device
		}
	}
	for addr, l := range d.open {
		if wanted[addr] == "" {
			_ = l.Close()
			delete(d.open, addr)
		}
	}
	for addr, device := range wanted {
		if d.open[addr] != nil {
			continue
		}
		l, err := n.listenAt(netip.AddrPortFrom(addr, n.warm.port), device)
		if err != nil {
			n.log.Warn("not listening at an address of its own", "local", addr, "interface", device, "error", err)
			continue
		}
		if d.open == nil {
			d.open = make(map[netip.Addr]net.Listener)
		}
		d.open[addr] = l
		n.all.Go(func() { n.serve(l) })
	}
}

func (n *Node) listenAt(local netip.AddrPort, device string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: func(network, address string, c syscall.RawConn) error {
		if err := bindTo(device, c); err != nil {
			return err
		}
		return reuseport.Control(network, address, c)
	}}
	lc.SetMultipathTCP(false)
	return lc.Listen(n.ctx, "tcp", local.String())
}

// close ends all listeners for good.
func (d *doors) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, l := range d.open {
		_ = l.Close()
	}
}
