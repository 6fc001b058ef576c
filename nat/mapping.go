package nat

import (
	"fmt"
	"net/netip"
	"time"
)

// Transport is the protocol that a mapping or a finding is about.
type Transport uint8

const (
	UDP Transport = iota + 1
	TCP
)

// String gives "udp" or "tcp".
func (t Transport) String() string {
	switch t {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	}
	return fmt.Sprintf("nat.Transport(%d)", uint8(t))
}

// Mapping is what one server saw of one local port at one time.
type Mapping struct {
	Local    netip.AddrPort // our socket
	External netip.AddrPort // the source that the server saw (XOR-MAPPED-ADDRESS)
	Server   netip.AddrPort // the server that was asked
	Sent     time.Time      // when the packet left that made the NAT choose External
	At       time.Time      // when the answer came, by a monotonic clock
	RTT      time.Duration  // of the request that revealed it
	// Rewritten tells that MAPPED-ADDRESS said something else than
	// XOR-MAPPED-ADDRESS: a gateway on the way edits payloads.
	Rewritten bool
}

// Valid reports whether all three endpoints are there.
func (m Mapping) Valid() bool {
	return m.Local.IsValid() && m.External.IsValid() && m.Server.IsValid() &&
		m.Local.Port() != 0 && m.External.Port() != 0
}

// Translated reports whether a NAT changed the address or the port.
func (m Mapping) Translated() bool { return m.External != m.Local }

// PortRange is a range of ports, both ends included. The zero value is an
// unknown range.
type PortRange struct{ Lo, Hi uint16 }

// Known reports whether the range holds anything.
func (r PortRange) Known() bool { return r.Hi != 0 && r.Lo <= r.Hi }

// Contains reports whether p lies in r.
func (r PortRange) Contains(p uint16) bool { return r.Known() && r.Lo <= p && p <= r.Hi }

// Size is the number of ports in r, 0 where it is unknown.
func (r PortRange) Size() int {
	if !r.Known() {
		return 0
	}
	return int(r.Hi) - int(r.Lo) + 1
}

// Wrap brings a port number that ran over an end of r back in at the other.
// It gives 0 where r is unknown.
func (r PortRange) Wrap(p int) uint16 {
	size := r.Size()
	if size == 0 {
		return 0
	}
	p = (p - int(r.Lo)) % size
	if p < 0 {
		p += size
	}
	return r.Lo + uint16(p)
}
