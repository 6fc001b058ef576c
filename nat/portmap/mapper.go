package portmap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Protocol is a way to ask a router for a port.
type Protocol string

const (
	PCP    Protocol = "pcp"     // RFC 6887
	NATPMP Protocol = "nat-pmp" // RFC 6886; IPv4 only
	UPnP   Protocol = "upnp"    // UPnP-IGD 1 and 2; pinholes where the local address is IPv6
)

// Protocols are all that this version knows.
func Protocols() []Protocol { return []Protocol{PCP, NATPMP, UPnP} }

// mapper speaks one protocol with one gateway. Every method ends by its
// context and is called from one goroutine at a time.
type mapper interface {
	// discover finds out whether the gateway speaks the protocol; it changes
	// nothing there.
	discover(ctx context.Context) error
	// ask makes the mapping or renews it. external is what is wanted; the zero
	// value leaves all to the router.
	ask(ctx context.Context, external netip.AddrPort, life time.Duration) (lease, error)
	// check finds out whether the router has lost l: errLost, or a different
	// external address, by errLost too. Other errors say nothing.
	check(ctx context.Context, l lease) error
	// drop deletes the mapping that has l's external endpoint, if it is ours.
	drop(ctx context.Context, l lease) error
}

// lease is a mapping that a router has granted.
type lease struct {
	external netip.AddrPort
	life     time.Duration // 0: until it is deleted
}

var (
	// ErrNone is that no protocol was answered.
	ErrNone = errors.New("no port mapping protocol was answered by the gateway")
	// ErrUseless is a mapping at an address that the internet cannot reach: a
	// second NAT stands behind the router.
	ErrUseless = errors.New("the router's own address is not public, so another NAT stands behind it")

	errForeign = errors.New("not an answer to what was asked")
	errLost    = errors.New("the router has lost the mapping")
)

// RefusedError is a no from the router.
type RefusedError struct {
	Protocol Protocol
	Code     int // of the protocol
	Why      string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: the router refuses: %s (%d)", e.Protocol, e.Why, e.Code)
}

// validate checks what a router has granted to local, and bounds its lifetime.
func (l lease) validate(local netip.Addr) (lease, error) {
	a := l.external.Addr()
	if !a.IsValid() || l.external.Port() == 0 || a.Is4() != local.Is4() {
		return l, fmt.Errorf("the router granted %v, which is no endpoint for %v", l.external, local)
	}
	if !reachable(a) {
		return l, fmt.Errorf("%v: %w", a, ErrUseless)
	}
	l.life = min(max(l.life, 0), maxLife)
	return l, nil
}

// unreachable are, beside what netip knows, the networks that no router has on
// the internet (RFC 6890).
var unreachable = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
}

// reachable reports whether a may be an address on the internet.
func reachable(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range unreachable {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// epoch is a router's count of seconds since it started, when it was heard.
type epoch struct {
	value uint32
	at    time.Time
	known bool
}

// restarted reports whether the router has started anew between e and now: it
// counts less than seven eighths of the time that passed, less 2 s
// (RFC 6886 §3.6; RFC 6887 §8.5 allows less, and is content with this).
func (e epoch) restarted(now epoch) bool {
	if !e.known {
		return false
	}
	passed := now.at.Sub(e.at).Seconds()
	return float64(now.value)+2 < float64(e.value)+passed*7/8
}
