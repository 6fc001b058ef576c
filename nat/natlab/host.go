package natlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Host is a machine: a network namespace with its own kernel TCP stack, one
// interface, eth0, and a default route.
type Host struct {
	lab      *Lab
	cfg      HostConfig
	link     *link
	addrs    []netip.Addr
	ns       *namespace
	tun      *tun
	commands commands
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
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("host%d", len(l.hosts)+1)
	}
	if cfg.Addresses == 0 {
		cfg.Addresses = 1
	}
	if cfg.Addresses < 0 || cfg.Addresses > maxAddresses {
		return fmt.Errorf("%d addresses: want 1 to %d", cfg.Addresses, maxAddresses)
	}
	h.cfg = cfg
	var err error
	l.mu.Lock()
	h.link, h.addrs, err = l.join(h, cfg.Behind, cfg.Addresses, Link{cfg.Delay, cfg.Jitter, cfg.Loss})
	l.mu.Unlock()
	if err != nil {
		return err
	}
	ns, t, err := boot(h.addrs, h.link)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		h.link.release(h.addrs)
		return err
	}
	h.ns, h.tun = ns, t
	l.group.Go(func() { l.read(t, func(p *packet) { h.link.send(p, false) }) })
	l.hosts = append(l.hosts, h)
	return nil
}

// boot makes the namespace of a host and what is in it.
func boot(addrs []netip.Addr, k *link) (ns *namespace, t *tun, err error) {
	if ns, err = newNamespace(); err != nil {
		return nil, nil, err
	}
	err = ns.run(func() error {
		if err := loopbackUp(); err != nil {
			return err
		}
		if t, err = openTUN("eth0"); err != nil {
			return err
		}
		if err := t.configure(addrs, k.net.prefix); err != nil {
			return err
		}
		return t.route(everywhere, k.gateway)
	})
	if err != nil {
		if t != nil {
			t.close()
		}
		ns.close()
		return nil, nil, err
	}
	return ns, t, nil
}

func (h *Host) fromAbove(p *packet) {
	if h.tun != nil { // else: not booted yet
		h.lab.deliver(h.tun, p)
	}
}

func (h *Host) close() {
	h.tun.close()
	h.ns.close()
}

// Name is the host's name.
func (h *Host) Name() string { return h.cfg.Name }

// Addr is the host's first address, on its own interface.
func (h *Host) Addr() netip.Addr { return h.addrs[0] }

// Addrs gives all its addresses.
func (h *Host) Addrs() []netip.Addr { return append([]netip.Addr(nil), h.addrs...) }

// Gateway is the router that the host's default route leads to.
func (h *Host) Gateway() netip.Addr { return h.link.gateway }

// External is the address under which the internet knows the host's first
// address: that of the outermost NAT. It is not settled where a NAT on the
// way is Arbitrary.
func (h *Host) External() netip.Addr {
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	a := h.addrs[0]
	for b := h.cfg.Behind; b != nil; b = b.cfg.Behind {
		a = b.nat.external(a)
	}
	return a
}

// SetLink changes the host's link. Packets under way keep their time.
func (h *Host) SetLink(k Link) error { return h.link.set(k) }

// Cut takes the host's link away (true) or gives it back: packets vanish in
// both directions, without an error and with the interface up.
func (h *Host) Cut(cut bool) { h.link.setCut(cut) }

// Do runs f on the calling goroutine with its thread in the host's namespace:
// sockets that f itself opens are the host's, and may be used anywhere, for
// any time, afterwards. What f starts in other goroutines is not in the
// namespace; mind that a net.Dialer uses others when it has a name to resolve
// or several addresses to try. The error is f's, net.ErrClosed after the lab's
// Close, or that of entering the namespace.
func (h *Host) Do(f func() error) error { return h.ns.enter(f) }

// Dial connects from the host to an address that is literally IP:port.
// dialer may be nil; network is "tcp" or "udp", with or without a 4. The dial
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
