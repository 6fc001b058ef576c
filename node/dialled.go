package node

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// dialled are the connections that were made from the warm port. A NAT that has
// forgotten a mapping is silent, and so is the kernel about an address that the
// machine has lost: what is known to hang on either is better ended at once
// than found out by its keep-alive.
type dialled struct {
	mu    sync.Mutex
	conns []dialledConn
	// confirmed is when the mapping of a local address was last seen as known.
	confirmed map[netip.Addr]time.Time
}

type dialledConn struct {
	conn  *net.TCPConn
	local netip.Addr
	at    time.Time
}

// add remembers c, and forgets what is closed.
func (d *dialled) add(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	local := t.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = slices.DeleteFunc(d.conns, func(o dialledConn) bool { return closed(o.conn) })
	d.conns = append(d.conns, dialledConn{t, local, time.Now()})
}

func closed(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// confirm notes that the mapping of local is as it was.
func (d *dialled) confirm(local netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.confirmed == nil {
		d.confirmed = make(map[netip.Addr]time.Time)
	}
	d.confirmed[local] = time.Now()
}

// dropOlder ends what was dialled from local before its mapping was last
// confirmed. What was dialled since then may be the first of the new mapping.
func (d *dialled) dropOlder(local netip.Addr) {
	d.drop(func(c dialledConn) bool { return c.local == local && c.at.Before(d.confirmed[local]) })
}

// dropGone ends what was dialled from addresses that the machine has no more.
func (d *dialled) dropGone() {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	d.drop(func(c dialledConn) bool {
		return !slices.ContainsFunc(addrs, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(c.local.AsSlice())
		})
	})
}

func (d *dialled) drop(which func(dialledConn) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		if which(c) {
			_ = c.conn.SetLinger(0) // no FIN_WAIT on the port
			_ = c.conn.Close()
		}
	}
}
