package portmap

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/portmap/miniupnpd"
)

// wire joins two hosts of a lab by an Ethernet of their own, which the lab's
// links are not: SSDP and link-local addresses need it for IPv6.
func (h *home) wire(run func(args ...string), name string, to *natlab.Host, peer string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := to.Command(ctx, "sleep", "1000") // whose namespace is named by its id
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	run("link", "add", name, "type", "veth", "peer", "name", peer, "netns", strconv.Itoa(c.Process.Pid))
	cancel()
	_ = c.Wait()
}

// ip runs ip(8) on something of a lab.
func ip(t *testing.T, on func(context.Context, string, ...string) *natlab.Cmd) func(args ...string) {
	return func(args ...string) {
		t.Helper()
		if out, err := on(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ip %v: %v: %s", args, err, out)
		}
	}
}

// newHome6 is a home whose router routes IPv6 and lets no stranger in.
func newHome6(t *testing.T) *home {
	t.Helper()
	h := newHouse(t, nil)
	router, host, stranger := ip(t, h.box.Command), ip(t, h.host.Command), ip(t, h.stranger.Command)
	h.wire(router, "inner", h.host, "eth6")
	h.wire(router, "outer", h.stranger, "eth6")
	up := func(run func(...string), dev string, addrs ...string) {
		for _, a := range addrs {
			run("addr", "add", a, "dev", dev, "nodad")
		}
		run("link", "set", dev, "up")
	}
	router("addr", "add", "10.9.9.1/24", "dev", "inner") // without it the daemon does not listen
	up(router, "inner", "2a00:1::1/64", "fe80::1/64")
	up(router, "outer", "2a00:2::1/64")
	up(host, "eth6", "2a00:1::10/64")
	up(stranger, "eth6", "2a00:2::10/64")
	host("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth6")
	stranger("-6", "route", "add", "default", "via", "2a00:2::1")
	if out, err := h.box.Command(t.Context(), "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding").CombinedOutput(); err != nil {
		t.Skipf("no forwarding of IPv6: %v: %s", err, out)
	}
	h.router = miniupnpd.Start(t, h.box, "listening_ip=inner", "ext_ifname6=outer")
	h.router.Run("nft", "add", "rule", "inet", "miniupnpd", "forward", "iifname", "outer", "ct", "state", "new", "drop")
	return h
}

// TestPinhole has a real router open its firewall for a port by PCP and by
// UPnP's WANIPv6FirewallControl: a stranger gets in, and no more afterwards.
func TestPinhole(t *testing.T) {
	for _, protocol := range []Protocol{PCP, UPnP} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			h := newHome6(t)
			local := netip.MustParseAddr("2a00:1::10")
			p, at := h.mapped(role{Local: local, Protocols: []Protocol{protocol}})
			if want := netip.AddrPortFrom(local, 40123).String(); at != want {
				t.Errorf("open at %s, want %s", at, want)
			}
			if !h.welcomed(at, patience) {
				t.Errorf("a stranger is not let in at %s:\n%s", at, h.router.Rules())
			}
			_ = p.in.Close()
			if err := p.Wait(); err != nil {
				t.Error(err)
			}
			h.closed(at)
		})
	}
}

// closed waits until a pinhole is no more: at once, or two seconds later, the
// router's shortest lifetime, where it can't be deleted.
func (h *home) closed(at string) {
	h.t.Helper()
	h.until("the pinhole is closed", func() bool { return !strings.Contains(h.router.Rules(), "40123") })
	if h.welcomed(at, 300*time.Millisecond) {
		h.t.Errorf("a stranger still gets in at %s:\n%s", at, h.router.Rules())
	}
}

// A pinhole that was renewed, which this router then refuses to delete, ends by
// itself soon, and not with the time for which it was granted.
func TestRenewedPinholeIsClosed(t *testing.T) {
	t.Parallel()
	h := newHome6(t)
	const life = 20 * time.Second // renewed after half of that
	p, at := h.mapped(role{Local: netip.MustParseAddr("2a00:1::10"), Protocols: []Protocol{PCP}, Lifetime: life})
	before := h.router.Rules()
	h.until("renewed", func() bool { return h.router.Rules() != before })
	renewed := time.Now()
	_ = p.in.Close()
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	h.closed(at)
	if after := time.Since(renewed); after > life*3/4 {
		t.Errorf("closed after %v, with a lifetime of %v", after, life)
	}
}
