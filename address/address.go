// Package address says who a node is and where it can be met: a Key is who, an
// Interface is one place, and an Address joins a key with the brokers that it
// listens on and the places where it lives.
package address

import (
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// MaxInterfaces is how many interfaces of one family an address may hold.
const MaxInterfaces = 3

// Address is everything that a peer must know to call a node. A value that
// came from Parse is canonical: whatever is in it may be relied on.
type Address struct {
	Brokers   []Broker    // where the node listens for signals, best first
	V4, V6    []Interface // at most MaxInterfaces each
	Key       Key         // zero where Foreign is set
	Foreign   string      // a node id that is no key (P2PD's); it proves nobody
	MachineID string      // 0 to 64 of [A-Za-z0-9_]
}

// Interface is one place: what one network interface looks like from inside
// and from outside, for one family.
type Interface struct {
	NetIndex     int           // index of the interface on its machine, 0 to 65535
	Index        int           // index in the node's own list, 0 to 65535
	External     netip.Addr    // as the internet sees it
	Internal     netip.Addr    // on its own network; External where there is no NAT
	Port         uint16        // the port listened on, never 0
	NAT          nat.Type      // of TCP
	Delta        nat.Delta     // of TCP
	ExternalPort uint16        // where Port is seen from outside; 0 means the same as Port
	BrokerRTT    time.Duration // round trip to the first broker, whole ms; 0 is unknown
}

// Broker names a signalling broker: an index into the well-known list, or a
// URL of one's own. Exactly one of the two counts: URL where it is not empty.
type Broker struct {
	Index int
	URL   string
}

// ExternalEndpoint is Port is seen from outside.
func (i Interface) ExternalEndpoint() netip.AddrPort {
	if i.ExternalPort != 0 {
		return netip.AddrPortFrom(i.External, i.ExternalPort)
	}
	return netip.AddrPortFrom(i.External, i.Port)
}

// InternalEndpoint is where the interface listens on its own network.
func (i Interface) InternalEndpoint() netip.AddrPort {
	return netip.AddrPortFrom(i.Internal, i.Port)
}

// Interfaces gives the interfaces of both families, IPv4 first.
func (a Address) Interfaces() []Interface {
	return append(append([]Interface(nil), a.V4...), a.V6...)
}
