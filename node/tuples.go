package node

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// tuples counts what the warm port is busy with at each remote endpoint: one
// port has one four-tuple per peer, so a second punch to the same endpoint
// takes another port.
type tuples struct {
	port uint16
	mu   sync.Mutex
	busy map[netip.AddrPort]int
}

func newTuples(port uint16) *tuples {
	return &tuples{port: port, busy: make(map[netip.AddrPort]int)}
}

// take reserves all remotes for a punch, or none; release gives them back.
func (t *tuples) take(remotes []netip.AddrPort) (release func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range remotes {
		if t.busy[r] > 0 {
			return nil, false
		}
	}
	return t.add(remotes...), true
}

// hold keeps the four-tuple of a connection busy until the connection is
// closed, where it is one of the warm port's.
func (t *tuples) hold(c net.Conn) net.Conn {
	local, _ := c.LocalAddr().(*net.TCPAddr)
	remote, _ := c.RemoteAddr().(*net.TCPAddr)
	if local == nil || remote == nil || local.Port != int(t.port) || isRelayed(c) {
		return c
	}
	a := remote.AddrPort()
	t.mu.Lock()
	defer t.mu.Unlock()
	return &holding{Conn: c, release: t.add(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))}
}

// add counts remotes as busy; the mutex is held.
func (t *tuples) add(remotes ...netip.AddrPort) (release func()) {
	for _, r := range remotes {
		t.busy[r]++
	}
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, r := range remotes {
			if t.busy[r]--; t.busy[r] == 0 {
				delete(t.busy, r)
			}
		}
	})
}

// timeWait is how long the kernel keeps the four-tuple of a connection that
// this end closed first (RFC 9293 §3.4.1; 60 s on Linux).
const timeWait = 60 * time.Second

// holding is a connection that gives its four-tuple back when the kernel does.
type holding struct {
	net.Conn
	release func()
}

func (h *holding) Close() error {
	time.AfterFunc(timeWait, h.release)
	return h.Conn.Close()
}

// NetConn is the connection beneath.
func (h *holding) NetConn() net.Conn { return h.Conn }
