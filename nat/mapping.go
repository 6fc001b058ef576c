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
	At       time.Time      // when the answer came, by a monotonic clock
	RTT      time.Duration  // of the request that revealed it
}

// Report is what a node found out about one local address: the NATs between it
// and the internet. Type and Delta are the summary that goes into an address;
// they describe TCP (guessed from UDP where TCP could not be asked).
type Report struct {
	Local    netip.Addr     // the interface's own address
	External netip.Addr     // as most servers see it; zero when none answered
	Type     Type           // of the NAT for TCP
	Delta    Delta          // of the NAT for TCP
	Warm     netip.AddrPort // where the node's own port is mapped for TCP; zero if unknown
	UDP      Finding
	TCP      Finding
	Took     time.Duration // from the first packet to this report
}

// Finding is what was found out about one transport.
type Finding struct {
	Answered  int       // servers that answered; 0 means that the transport is blocked or unserved
	Asked     int       // servers that were asked
	Mapping   Behavior  // RFC 4787 §4.1
	Filtering Behavior  // RFC 4787 §5
	Delta     Delta     // how ports move
	Samples   []Mapping // what the verdict rests on, oldest first
	// Confidence runs from 0 (a guess) to 1 (every sample agrees and there
	// were enough). A transport that was inferred from the other has Guess set.
	Confidence float64
	Guess      bool
	RTT        time.Duration // the shortest round trip to a server
}

// NATed reports whether an external address was seen that is not our own.
func (r Report) NATed() bool { return r.External.IsValid() && r.External != r.Local }
