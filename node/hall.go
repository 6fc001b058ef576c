package node

import (
	"net"
	"net/netip"
	"sync"
)

// hall is where accepted connections wait until their peer is proven and has
// nominated them. Whoever gets no further takes some of its places only.
type hall struct {
	mu    sync.Mutex
	taken int
	from  map[netip.Prefix]int // of them, by site
}

const (
	// maxWaiting is how many accepted connections may wait at once, and
	// maxWaitingOf how many of one IPv4 address or IPv6 /64.
	maxWaiting, maxWaitingOf = 256, 64
)

func newHall() *hall { return &hall{from: make(map[netip.Prefix]int)} }

// enter takes a place for a connection from there; leave gives it back.
func (h *hall) enter(from net.Addr) (leave func(), ok bool) {
	at := siteOf(from)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken >= maxWaiting || h.from[at] >= maxWaitingOf {
		return nil, false
	}
	h.taken++
	h.from[at]++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.taken--
		if h.from[at]--; h.from[at] == 0 {
			delete(h.from, at)
		}
	}), true
}

// siteOf is an IPv4 address, or the /64 of an IPv6 one, which is one host's.
func siteOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}
