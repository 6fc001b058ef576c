package natlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Host is a machine: a network namespace with its own kernel TCP stack, one
// interface, eth0, or more, and a default route by each.
type Host struct {
	lab      *Lab
	name     string
	ifaces   []*Interface
	ns       *namespace
	commands commands

	mu      sync.Mutex
	bridges []*tun
}

// Host adds a host.
func (l *Lab) Host(cfg HostConfig) (*Host, error) {
	h := &Host{lab: l}
	err := l.build(func() error { return h.start(cfg) })
	if err != nil {
		return nil, fmt.Errorf("host %q: %w", cfg.Name, err)
	}
	return h, nil
}

func (h *Host) start(cfg HostConfig) error {
	l := h.lab
	if h.name = cfg.Name; h.name == "" {
		h.name = fmt.Sprintf("host%d", len(l.hosts)+1)
	}
	uplinks, err := cfg.uplinks()
	if err != nil {
		return err
	}
	l.mu.Lock()
	err = h.join(uplinks)
	l.mu.Unlock()
	var tuns []*tun
	if err == nil {
		h.ns, tuns, err = boot(h.ifaces)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		for _, i := range h.ifaces {
			i.link.release(i.addrs)
		}
		return err
	}
	for k, i := range h.ifaces {
		i.tun = tuns[k]
		l.group.Go(func() { l.read(i.tun, func(p *packet) { i.link.send(p, false) }) })
	}
	l.hosts = append(l.hosts, h)
	return nil
}

// join links an interface to each uplink; the lab's lock is held.
func (h *Host) join(uplinks []Uplink) error {
	for k, u := range uplinks {
		i := &Interface{host: h, name: fmt.Sprintf("eth%d", k), behind: u.Behind}
		var err error
		i.link, i.addrs, err = h.lab.join(i, u.Behind, u.Stack, u.Addresses, Link{u.Delay, u.Jitter, u.Loss})
		if err != nil {
			return err
		}
		h.ifaces = append(h.ifaces, i)
	}
	return nil
}

// boot makes the namespace of a host and the devices of its interfaces.
func boot(ifaces []*Interface) (ns *namespace, tuns []*tun, err error) {
	if ns, err = newNamespace(); err != nil {
		return nil, nil, err
	}
	err = ns.run(func() error {
		if err := loopbackUp(); err != nil {
			return err
		}
		if len(ifaces) > 1 {
			if err := looseReversePath(); err != nil {
				return err
			}
		}
		for k, i := range ifaces {
			t, err := openTUN(i.name)
			if err != nil {
				return err
			}
			tuns = append(tuns, t)
			if err := t.uplink(i.link.nets, i.addrs, 100*k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, t := range tuns {
			t.close()
		}
		ns.close()
		return nil, nil, err
	}
	return ns, tuns, nil
}

// uplink gives the device its addresses, and a default route for each family.
func (t *tun) uplink(nets networks, addrs []netip.Addr, metric int) error {
	if err := t.configure(nets.within(addrs)); err != nil {
		return err
	}
	if nets.v4 != nil {
		if err := t.route(everywhere, nets.v4.gateway(), metric); err != nil {
			return err
		}
	}
	if nets.v6 != nil {
		return t.route(everywhere6, nets.v6.gateway(), metric)
	}
	return nil
}

func (h *Host) close() {
	for _, i := range h.ifaces {
		i.tun.close()
	}
	h.mu.Lock()
	for _, t := range h.bridges {
		t.close()
	}
	h.mu.Unlock()
	h.ns.close()
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Addr is the host's first address: that of IPv4 on eth0 if there is one.
func (h *Host) Addr() netip.Addr { return h.ifaces[0].addrs[0] }

// Addr6 is its first global IPv6 address, and ULA its first unique local one;
// zero where there is none.
func (h *Host) Addr6() netip.Addr {
	return h.first(func(a netip.Addr) bool { return a.Is6() && !a.IsPrivate() })
}

// ULA is the host's first unique local address; zero where there is none.
func (h *Host) ULA() netip.Addr {
	return h.first(func(a netip.Addr) bool { return a.Is6() && a.IsPrivate() })
}

func (h *Host) first(which func(netip.Addr) bool) netip.Addr {
	for _, a := range h.Addrs() {
		if which(a) {
			return a
		}
	}
	return netip.Addr{}
}

// Addrs gives all its addresses, interface by interface, each with IPv4 first,
// then global IPv6, then unique local.
func (h *Host) Addrs() []netip.Addr {
	var all []netip.Addr
	for _, i := range h.ifaces {
		all = append(all, i.addrs...)
	}
	return all
}

// Interfaces gives eth0, eth1 and so on.
func (h *Host) Interfaces() []*Interface { return append([]*Interface(nil), h.ifaces...) }

// Gateway is the router that eth0's default route leads to: IPv4's if eth0 has
// that family.
func (h *Host) Gateway() netip.Addr { return h.ifaces[0].link.nets.each()[0].gateway() }

// External is the address under which the internet knows the host's first
// address: that of the outermost NAT. It is not settled where a NAT on the
// way is Arbitrary.
func (h *Host) External() netip.Addr { return h.ifaces[0].External() }

// SetLink changes the link of eth0. Packets under way keep their time.
func (h *Host) SetLink(k Link) error { return h.ifaces[0].SetLink(k) }

// Cut takes the link of eth0 away (true) or gives it back: packets vanish in
// both directions, without an error and with the interface up.
func (h *Host) Cut(cut bool) { h.ifaces[0].Cut(cut) }

// Bridge adds an interface that leads nowhere, with an address of its own, such
// as a container engine makes: docker0 with 172.17.0.1/16.
func (h *Host) Bridge(name string, address netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ns.run(func() error {
		t, err := openTUN(name)
		if err == nil {
			if err = t.configure([]netip.Prefix{address}); err != nil {
				t.close()
			} else {
				h.bridges = append(h.bridges, t)
			}
		}
		return err
	})
}

// Do runs f on the calling goroutine with its thread in the host's namespace:
// sockets that f itself opens are the host's, and may be used anywhere, for
// any time, afterwards. What f starts in other goroutines is not in the
// namespace; mind that a net.Dialer uses others when it has a name to resolve
// or several addresses to try. The error is f's, net.ErrClosed after the lab's
// Close, or that of entering the namespace.
func (h *Host) Do(f func() error) error { return h.ns.enter(f) }

// Dial connects from the host to an address that is literally IP:port.
// dialer may be nil; network is "tcp" or "udp", with or without a 4 or 6. The dial
// holds a thread for as long as it takes.
func (h *Host) Dial(ctx context.Context, dialer *net.Dialer, network, address string) (conn net.Conn, err error) {
	if err := literal(address); err != nil {
		return nil, err
	}
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	err = h.Do(func() error {
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen opens a TCP listener on the host at an address that is literally
// IP:port, or ":port".
func (h *Host) Listen(network, address string) (listener net.Listener, err error) {
	if err := literal(address); err != nil {
		return nil, err
	}
	err = h.Do(func() error {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// ListenPacket opens a UDP socket on the host at an address that is literally
// IP:port, or ":port".
func (h *Host) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	if err := literal(address); err != nil {
		return nil, err
	}
	err = h.Do(func() error {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// literal refuses what would be resolved, on another thread.
func literal(address string) error {
	if host, _, err := net.SplitHostPort(address); err == nil && host == "" {
		return nil
	}
	if _, err := netip.ParseAddrPort(address); err != nil {
		return fmt.Errorf("want IP:port: %w", err)
	}
	return nil
}
