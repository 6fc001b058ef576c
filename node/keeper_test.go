package node_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/node"
)

// Where the warm port's four-tuple to the broker is held by an old connection,
// the broker is reached from another port, and nothing keeps the warm mapping:
// a connection to a STUN server must. This NAT ends a mapping with its last
// connection, and the next mapping is another, so that only what is kept is
// found where the address says.
func TestMappingIsKeptWithoutABroker(t *testing.T) {
	const warm = 4000
	t.Parallel()
	w := newWorld(t)
	h := w.behind("callee", &natlab.NAT{Ports: nat.Delta{Kind: nat.Independent, Value: 1}, EndOnRST: true, EndOnFIN: true})
	held, err := h.Dial(t.Context(), &net.Dialer{LocalAddr: &net.TCPAddr{Port: warm}, Control: reuseport.Control}, "tcp", w.broker[len("tcp://"):])
	if err != nil {
		t.Fatal(err)
	}
	callee := w.node(h, func(r *role) { r.Port, r.Refresh = warm, time.Second })
	// Over a connection that is kept, one question follows another.
	var mu sync.Mutex
	questions := make(map[netip.AddrPort]int)
	const push = 8
	stop := w.lab.Watch(func(p natlab.Packet) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case p.Dst.String() != w.stun[0] && p.Dst.String() != w.stun[1]:
		case p.SYN():
			questions[p.Src] = 0
		case p.Flags&push != 0:
			questions[p.Src]++
		}
	})
	defer stop()
	r := callee.eventually("keeping its mapping", time.Minute, func(r reply) bool {
		mu.Lock()
		defer mu.Unlock()
		return questions[outside(t, r.Address)] >= 4
	})
	_ = held.(*net.TCPConn).SetLinger(0)
	_ = held.Close() // the other thing that the mapping hung on
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
	c := caller.mustConnect(r.Address, 1000)
	if c.Via != node.Punch || c.Remote != outside(t, r.Address).String() {
		t.Errorf("via %s to %s: the address names a mapping that is gone, %s", c.Via, c.Remote, r.Address)
	}
}
