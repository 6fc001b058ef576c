package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/errno"
)

// MapConfig says which local port to map, and whom to ask.
type MapConfig struct {
	// Local is the address and port to connect from. With port 0 a free one is
	// drawn; without an address it is found by route.
	Local netip.AddrPort
	// Servers are asked over TCP, all at once; of those with an address of the
	// right family at most five count. Default:
	// DefaultTCPServers. On a NAT that counts ports up, every server asked
	// takes a port: ask one, or mind Held.Later.
	Servers []string
	// Control is called for every socket after the probe's own options.
	Control  func(network, address string, c syscall.RawConn) error
	Resolver Resolver      // default: net.DefaultResolver
	Timeout  time.Duration // default and maximum: 4 s
	Logger   *slog.Logger  // default: none
}

func (c MapConfig) filled() MapConfig {
	f := Config{Servers: []string{}, TCPServers: c.Servers, Resolver: c.Resolver, Timeout: c.Timeout, Logger: c.Logger}.filled()
	c.Servers, c.Resolver, c.Timeout, c.Logger = f.TCPServers, f.Resolver, f.Timeout, f.Logger
	return c
}

// Held is a mapping over TCP, and the connection that keeps it: some NATs end
// a mapping at the FIN or RST of its only connection. Its methods may be
// called from several goroutines.
type Held struct {
	conn *net.TCPConn
	sent time.Time // when the SYN left
	// Later is how many other servers were dialled after the one that
	// answered: on a NAT with a counter they moved it on by that much.
	Later int

	asking  sync.Mutex // held during Refresh
	mu      sync.Mutex
	mapping nat.Mapping
	once    sync.Once
}

// Map finds out where a local port is mapped over TCP, which takes a handshake
// and one round trip, and holds that mapping until Close. It asks several
// servers at once; the first answer wins and the other connections are reset.
// The port is opened with SO_REUSEADDR and SO_REUSEPORT, so that a punch can
// use it meanwhile. When nobody answers, the error is a *NoServerError.
func Map(ctx context.Context, cfg MapConfig) (*Held, error) {
	cfg = cfg.filled()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	servers, problems := cfg.resolve(ctx)
	local, err := cfg.local(servers)
	if err != nil {
		return nil, &NoServerError{Local: cfg.Local.Addr(), Causes: append(problems, err)}
	}
	return mapPort(ctx, cfg, local, servers, problems)
}

// MapRow maps n consecutive local ports at once, in order, as a NAT wants them
// whose step depends on the local port. cfg.Local's port is the first, or any
// where it is 0. n is 1 to 16. Either all are mapped, or none is held.
func MapRow(ctx context.Context, cfg MapConfig, n int) ([]*Held, error) {
	if n < 1 || n > 16 {
		return nil, fmt.Errorf("%d local ports: want 1 to 16", n)
	}
	cfg = cfg.filled()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	servers, problems := cfg.resolve(ctx)
	first, err := cfg.local(servers)
	if err == nil && cfg.Local.Port() == 0 {
		row := drawRow(func(port uint16) bool { return free(nat.TCP, first.Addr(), port) }, n)
		if row == nil {
			return nil, errNoFreePorts
		}
		first = netip.AddrPortFrom(first.Addr(), row[0])
	}
	if err == nil && int(first.Port())+n-1 > 65535 {
		err = fmt.Errorf("%d local ports from %d on run over", n, first.Port())
	}
	if err != nil {
		return nil, &NoServerError{Local: cfg.Local.Addr(), Causes: append(problems, err)}
	}
	held, errs := make([]*Held, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		local := netip.AddrPortFrom(first.Addr(), first.Port()+uint16(i))
		to := servers[i%len(servers):][:1] // one each: the others would take ports of their own
		hand := &tcpHand{}
		hand.inOrder(&wg, func(begun func()) {
			held[i], errs[i] = mapOne(ctx, cfg, local, to[0], begun)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, h := range held {
			if h != nil {
				_ = h.Close()
			}
		}
		return nil, &NoServerError{Local: first.Addr(), Causes: append(problems, err)}
	}
	return held, nil
}

func (c MapConfig) resolve(ctx context.Context) ([]target, []error) {
	var problems []error
	for _, family := range []string{"ip4", "ip6"} {
		if a := c.Local.Addr().Unmap(); a.IsValid() && a.Is4() != (family == "ip4") {
			continue
		}
		found, p := resolve(ctx, c.Resolver, family, c.Servers)
		problems = p
		if len(found) > 0 {
			return found[:min(len(found), mostTCPServers)], problems
		}
	}
	return nil, problems
}

// local fills in the address and the port to connect from.
func (c MapConfig) local(servers []target) (netip.AddrPort, error) {
	if len(servers) == 0 {
		return netip.AddrPort{}, errors.New("no server has an address")
	}
	ip, err := c.Local.Addr().Unmap(), error(nil)
	if !ip.IsValid() || ip.IsUnspecified() {
		if ip, err = route(servers[0].at); err != nil {
			return netip.AddrPort{}, err
		}
	}
	port := c.Local.Port()
	if port == 0 {
		if port, err = freePort(ip, 0); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(ip, port), nil
}

// mapPort asks all servers from one port and takes the first answer.
func mapPort(ctx context.Context, cfg MapConfig, local netip.AddrPort, servers []target, problems []error) (*Held, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	held, errs := make([]*Held, len(servers)), make([]error, len(servers))
	var wg sync.WaitGroup
	winner := make(chan int, len(servers))
	hand := &tcpHand{}
	for i, t := range servers {
		hand.inOrder(&wg, func(begun func()) {
			if held[i], errs[i] = mapOne(ctx, cfg, local, t, begun); errs[i] == nil {
				winner <- i
				stop()
			}
		})
	}
	wg.Wait()
	if len(winner) == 0 {
		return nil, &NoServerError{Local: local.Addr(), Causes: append(problems, errs...)}
	}
	won := <-winner
	h := held[won]
	for i, other := range held {
		if i > won && (other != nil || dialled(errs[i])) {
			h.Later++
		}
		if other != nil && i != won {
			_ = other.Close()
		}
	}
	return h, nil
}

// dialled reports whether a SYN may have left before err.
func dialled(err error) bool {
	return err != nil && !errno.Is(err, syscall.EADDRNOTAVAIL) && !errno.Is(err, syscall.EADDRINUSE)
}

func mapOne(ctx context.Context, cfg MapConfig, local netip.AddrPort, t target, begun func()) (*Held, error) {
	fail := func(err error) error {
		cfg.Logger.Debug("stun server failed", "transport", nat.TCP, "server", t.name, "error", err)
		return fmt.Errorf("%s over %v: %w", t.name, nat.TCP, err)
	}
	if ctx.Err() != nil {
		return nil, fail(context.Cause(ctx))
	}
	c, sent, err := dialer{local, true, cfg.Control}.dial(ctx, t.at, begun)
	if err != nil {
		return nil, fail(cause(ctx, err))
	}
	r, err := question(ctx, c)
	if err != nil {
		_ = c.Close()
		return nil, fail(err)
	}
	return &Held{conn: c, sent: sent, mapping: tcpMapping(c, r, sent)}, nil
}

// Mapping is what the server has said last.
func (h *Held) Mapping() nat.Mapping {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mapping
}

// Refresh asks again over the same connection, which takes one round trip. An
// error means that the connection is of no more use, and the mapping perhaps
// gone.
func (h *Held) Refresh(ctx context.Context) (nat.Mapping, error) {
	h.asking.Lock()
	defer h.asking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	r, err := question(ctx, h.conn)
	if err != nil {
		_ = h.Close()
		return nat.Mapping{}, fmt.Errorf("asking %v again: %w", h.Mapping().Server, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mapping = tcpMapping(h.conn, r, h.sent)
	return h.mapping, nil
}

// Close resets the connection, which leaves no TIME_WAIT on the port. It may
// be called more than once.
func (h *Held) Close() error {
	h.once.Do(func() { _ = h.conn.Close() })
	return nil
}
