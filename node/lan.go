package node

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/lan"
	"github.com/sallyport-net/sallyport/signaling"
)

// nearby answers those who look for the node on its LANs, once the node accepts.
// The zero value answers nobody.
type nearby struct {
	mu     sync.Mutex
	server *lan.Server
	over   bool
}

// serveLAN begins to answer. Without a socket for that the node does without.
func (n *Node) serveLAN() {
	n.nearby.mu.Lock()
	defer n.nearby.mu.Unlock()
	if n.cfg.NoLAN || n.nearby.over {
		return
	}
	s, err := lan.Serve(lan.Config{
		Key: n.cfg.Key, TCP: n.warm.port, Links: n.links, Logger: n.log, Now: n.cfg.Now,
		Admit: func(k address.Key) bool { return n.gate(k) != signaling.Stranger },
	})
	if err != nil {
		n.log.Warn("this node can't be found on the LAN", "error", err)
		return
	}
	n.nearby.server = s
}

// look is to be called when the machine's addresses have changed.
func (n *nearby) look() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		n.server.Look()
	}
}

func (n *nearby) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over = true; n.server != nil {
		_ = n.server.Close()
	}
}

// links are the interfaces on which neighbours may be.
func (n *Node) links() []lan.Link {
	var used []string // even where its name is that of a bridge
	for _, p := range n.around.places() {
		used = append(used, p.name)
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var links []lan.Link
	for _, i := range chooseLinks(ifaces, n.cfg.Interfaces, used) {
		l := lan.Link{Name: i.Name, Index: i.Index}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone since
		}
		for _, a := range addrs {
			if ipnet, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(ipnet.IP)
				ones, _ := ipnet.Mask.Size()
				l.Addrs = append(l.Addrs, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
		links = append(links, l)
	}
	return links
}

// chooseLinks picks interfaces as choosePlaces does addresses: those in only,
// else those in used and all that lead to other machines. Loopback counts where
// it is named or used; it takes multicast though it does not say so.
func chooseLinks(all []net.Interface, only, used []string) []net.Interface {
	links := slices.DeleteFunc(slices.Clone(all), func(i net.Interface) bool {
		loopback := i.Flags&net.FlagLoopback != 0
		switch {
		case i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 && !loopback:
			return true
		case len(only) > 0:
			return !slices.Contains(only, i.Name)
		}
		return (loopback || virtual(i.Name)) && !slices.Contains(used, i.Name)
	})
	slices.SortStableFunc(links, func(a, b net.Interface) int {
		return cmp.Compare(slices.Index(only, a.Name), slices.Index(only, b.Name))
	})
	return links[:min(len(links), lan.MaxLinks)]
}

// onLAN looks for the peer on our LANs, and dials it where it answers. What the
// peer's address says does not matter.
func (c *call) onLAN(ctx context.Context) error {
	n := c.node
	if n.cfg.NoLAN {
		return errLANOff
	}
	var mu sync.Mutex
	var errs []error
	proven := false
	var dials sync.WaitGroup
	seeker := lan.Seeker{Key: n.cfg.Key, Links: n.links(), Logger: n.log, Now: n.cfg.Now}
	c.note(LAN, "asking on the local networks")
	err := seeker.Find(ctx, c.peer.Key, func(at netip.AddrPort) {
		c.note(LAN, "the peer is at %v", at)
		dials.Go(func() {
			err := c.dialNear(ctx, at)
			mu.Lock()
			defer mu.Unlock()
			proven = proven || err == nil
			errs = append(errs, dialError(at, err))
		})
	})
	dials.Wait()
	switch {
	case proven:
		return nil
	case err != nil:
		return err
	}
	return errors.Join(errs...)
}

// dialNear dials a peer that has told where on the LAN it is, unless that is
// being done already.
func (c *call) dialNear(ctx context.Context, at netip.AddrPort) error {
	if !c.claim(at) {
		return notTried("it is dialled already")
	}
	ctx, cancel := context.WithTimeout(ctx, directTimeout)
	defer cancel()
	conn, err := coldDialer().DialContext(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	return c.prove(ctx, LAN, conn)
}

// errLANOff is why nobody was looked for on the LAN.
var errLANOff = notTried("switched off here")
