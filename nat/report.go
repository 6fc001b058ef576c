package nat

import (
	"net/netip"
	"time"
)

// Report is what a node found out about one local address: the NATs between it
// and the internet. Type and Delta are the summary that goes into an address;
// they describe TCP (guessed from UDP where TCP could not be asked).
type Report struct {
	Local    netip.Addr     // the interface's own address
	External netip.Addr     // as most servers see it; zero when none answered
	Type     Type           // of the NAT for TCP
	Delta    Delta          // of the NAT for TCP
	Warm     netip.AddrPort // where the node's own port is mapped for TCP; zero if unknown
	WarmPort uint16         // that port; 0 if the probe had none
	UDP      Finding
	TCP      Finding
	// Externals are all external addresses that servers saw, the most seen
	// first. More than one means a NAT with several addresses, or two ways out.
	Externals []netip.Addr
	// Confidence in Type, from 0 (a guess) to 1.
	Confidence float64
	Guess      bool // TCP was judged from UDP
	// Refusal is what becomes of a SYN that the filter stops.
	Refusal Refusal
	// Hairpin tells whether two ports of this machine reach one another at
	// their external endpoints, as two peers behind the same NAT would
	// (RFC 5382 REQ-8).
	Hairpin Answer
	// Depth is how many hops lead through our own NATs: a packet with a TTL of
	// Depth+1 leaves the last of them and gets little further. 0 is unknown.
	Depth int
	// Hops are the first routers of the way out; the zero Addr is a silent one.
	Hops []netip.Addr
	Took time.Duration // from the first packet to this report
}

// Finding is what was found out about one transport.
type Finding struct {
	Answered  int       // servers that answered; 0 means that the transport is blocked or unserved
	Asked     int       // servers that were asked
	Mapping   Behavior  // RFC 4787 §4.1
	Filtering Behavior  // RFC 4787 §5; for TCP it is what UDP showed, unless a server of ours could call us
	Delta     Delta     // how ports move
	Ports     PortRange // the range that a counter was seen to wrap in; zero if it was not
	Samples   []Mapping // what the verdict rests on, oldest first
	// Confidence in Mapping and Delta runs from 0 (a guess) to 1 (every sample
	// agrees and there were enough). A transport that was inferred from the
	// other has Guess set.
	Confidence float64
	Guess      bool
	RTT        time.Duration // the shortest round trip to a server
	// Lying are the servers that contradicted the others so that one NAT
	// cannot explain it.
	Lying []netip.AddrPort
	// Rewritten tells that a gateway edits addresses in payloads.
	Rewritten bool
}

// sureEnough is the confidence from which a verdict is more than a guess.
const sureEnough = 0.5

// NATed reports whether an external address was seen that is not our own.
func (r Report) NATed() bool { return r.External.IsValid() && r.External != r.Local }

// Sure reports whether Type and Delta rest on enough agreeing answers.
func (r Report) Sure() bool {
	return !r.Guess && r.Confidence >= sureEnough && (r.Type == Blocked || r.TCP.Confidence >= sureEnough)
}
