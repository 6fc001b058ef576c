package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// lookupTime is how long names may take; those that take longer are left out.
const lookupTime = 1200 * time.Millisecond

// target is a server to ask.
type target struct {
	name string // as configured
	at   netip.AddrPort
}

// resolve finds the addresses of servers in one family, all at once, each
// address and port once, in the order given. When half of the names are known,
// the others have as long again as those took. Problems are given back for
// those that are left out.
func resolve(ctx context.Context, r Resolver, network string, names []string) (out []target, problems []error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	type result struct {
		i   int
		at  netip.AddrPort
		err error
	}
	results := make(chan result, len(names))
	for i, name := range names {
		go func() { // ends with ctx, and Run waits for it below
			at, err := lookup(ctx, r, network, name)
			results <- result{i, at, err}
		}()
	}
	found, errs := make([]netip.AddrPort, len(names)), make([]error, len(names))
	start, good := time.Now(), 0
	for range names {
		res := <-results
		found[res.i], errs[res.i] = res.at, res.err
		if good++; res.err != nil {
			good--
		}
		if 2*good >= len(names) {
			stop := time.AfterFunc(max(time.Since(start), 50*time.Millisecond), cancel)
			defer stop.Stop()
		}
	}
	seen := map[netip.AddrPort]bool{}
	for i, at := range found {
		if errs[i] != nil {
			problems = append(problems, errs[i])
		} else if !seen[at] {
			seen[at] = true
			out = append(out, target{names[i], at})
		}
	}
	return out, problems
}

// lookup finds one server: a literal address needs no resolver.
func lookup(ctx context.Context, r Resolver, network, name string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(name)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("STUN server %q: want HOST:PORT", name)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("STUN server %q: port %q is not in 1 to 65535", name, portText)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if (network == "ip4") != ip.Unmap().Is4() {
			return netip.AddrPort{}, fmt.Errorf("STUN server %q: not of the family %s", name, network)
		}
		return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
	}
	ips, err := r.LookupNetIP(ctx, network, host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("STUN server %q: %w", name, err)
	}
	for _, ip := range ips {
		if ip = ip.Unmap(); (network == "ip4") == ip.Is4() && !ip.IsUnspecified() && !ip.IsMulticast() {
			return netip.AddrPortFrom(ip, uint16(port)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("STUN server %q: no address of the family %s", name, network)
}

// route finds the local address from which packets to remote leave. It sends
// nothing.
func route(remote netip.AddrPort) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// shared is the address space between carriers' NATs and their customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// maySend reports whether an address that the server from named may be written
// to: it must be of the same family and reach as the server itself, so that
// no server on the internet points us at a machine of our own network.
func maySend(from, to netip.AddrPort) bool {
	a, b := from.Addr(), to.Addr()
	return to.IsValid() && to.Port() != 0 && a.Is4() == b.Is4() && to != from &&
		!b.IsUnspecified() && !b.IsMulticast() && b != netip.AddrFrom4([4]byte{255, 255, 255, 255}) &&
		a.IsLoopback() == b.IsLoopback() && a.IsPrivate() == b.IsPrivate() &&
		shared.Contains(a) == shared.Contains(b) && a.IsLinkLocalUnicast() == b.IsLinkLocalUnicast()
}
