package natlab

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// Config is what a whole lab shares. The zero value is ready for use.
type Config struct {
	// Seed starts every random choice: ports, loss, jitter. Two labs that are
	// built alike with one seed draw alike; 0 is a seed like any other.
	Seed uint64
	// Logger gets every dropped and refused packet at debug level. Default: none.
	Logger *slog.Logger
}

// Link is how a link treats packets, in each direction.
type Link struct {
	Delay  time.Duration // one way; default 0
	Jitter time.Duration // added to Delay, uniform in [0, Jitter); packets may overtake one another
	Loss   float64       // the share that is lost, 0 to 1
}

// Refusal is how a NAT answers what it won't let in.
type Refusal uint8

const (
	Drop           Refusal = iota // no answer
	RST                           // TCP is answered by RST, anything else dropped
	PortICMP                      // ICMP port unreachable (type 3 code 3)
	ProhibitedICMP                // ICMP communication administratively prohibited (type 3 code 13)
	HostICMP                      // ICMP host administratively prohibited (type 3 code 10)
)

var refusalNames = [...]string{"drop", "rst", "icmp port", "icmp prohibited", "icmp host"}

// String gives the name in lower case.
func (r Refusal) String() string {
	if int(r) < len(refusalNames) {
		return refusalNames[r]
	}
	return fmt.Sprintf("natlab.Refusal(%d)", uint8(r))
}

// NAT says what a box between hosts and the internet does. The zero value is
// the commonest home router: endpoint-independent mapping, address- and
// port-dependent filtering, ports preserved, unsolicited packets dropped.
type NAT struct {
	Name string // for logs; default "nat1", "nat2", …

	// Mapping and Filtering are RFC 4787's, for TCP, UDP and ICMP echo alike.
	// Default: EndpointIndependent mapping, AddressAndPortDependent filtering.
	Mapping, Filtering nat.Behavior
	// Ports is how external ports are chosen. Default: nat.Equal. Where the
	// port wanted is taken or out of Range, a random free one is used.
	Ports nat.Delta
	// Range holds the lowest and the highest external port; counters wrap
	// inside it. Default: 1024 to 65535.
	Range [2]uint16
	// Foreign is how many ports a second the imaginary other hosts behind this
	// NAT take from the counter of nat.Independent (a Poisson process).
	Foreign float64
	// Externals is the number of external addresses. Default 1, at most 200.
	// An inner address keeps to one of them (RFC 4787 §4.1, "paired").
	Externals int
	// Arbitrary draws the external address anew for every mapping instead.
	Arbitrary bool

	Refuse Refusal // answer to what the filter stops; default Drop
	// NoSimultaneousOpen drops an inbound SYN on a four-tuple whose own SYN has
	// not been answered, which makes TCP hole punching impossible.
	NoSimultaneousOpen bool
	// EndOnRST ends a session when an RST passes in either direction, EndOnFIN
	// when both sides' FIN and the ACK after them have passed. A mapping ends
	// with its last session; then a retry takes a new port.
	EndOnRST, EndOnFIN bool
	// UDPLifetime and TCPLifetime end a session that lies idle; only outbound
	// packets keep a UDP session. Default 2 min (RFC 4787 REQ-5) and 2 h 4 min
	// (RFC 5382 REQ-5).
	UDPLifetime, TCPLifetime time.Duration

	Firewall     bool     // only filters: hosts behind it have addresses of the other side
	Hairpin      bool     // inner hosts reach one another at their external ports, seen from outside addresses
	UDPBlocked   bool     // no UDP in or out
	OnlyTCPPorts []uint16 // if any, TCP may go out to these ports only

	// V6 is what the box does with IPv6. Default (nil): it has none.
	V6 *V6

	// Kernel makes the box a network namespace in which Linux itself
	// masquerades. Of the fields above it takes Ports (nat.Equal or
	// nat.Random), Refuse, UDPBlocked and OnlyTCPPorts; others are an error.
	// Refuse: RST is then what Linux does of itself: RST for TCP, ICMP port
	// unreachable for UDP.
	Kernel bool

	// Delay, Jitter and Loss are those of the link towards the internet, in
	// each direction; see Link.
	Delay, Jitter time.Duration
	Loss          float64
	// Behind puts the box behind another one, which makes that a carrier's
	// NAT: the addresses between them come from 100.64.0.0/10. Default: on the
	// internet.
	Behind *Box
	// LAN is the network inside, at least a /29 and at most a /16. Default:
	// 192.168.N.0/24, N counting boxes; two boxes may well have the same.
	LAN netip.Prefix
}

// V6 is the IPv6 of a box, which routes and never translates: each of its hosts
// that asks for IPv6 has an address of its own, and a stateful firewall stands
// before them all. The zero value lets in what answers, drops the rest (RFC 6092)
// and has a global /64 inside.
type V6 struct {
	Filtering nat.Behavior // as NAT.Filtering
	Refuse    Refusal      // as NAT.Refuse, with ICMPv6's words
	Open      bool         // no firewall
	ULA       bool         // hosts have a unique local address as well (RFC 4193), which no box lets out
	NoGlobal  bool         // and no global one
}

func (v *V6) check() error {
	switch {
	case v.Filtering > nat.AddressAndPortDependent:
		return fmt.Errorf("IPv6 filtering %v: not in RFC 4787", v.Filtering)
	case int(v.Refuse) >= len(refusalNames):
		return fmt.Errorf("no firewall refuses by %v", v.Refuse)
	case v.Open && (v.Filtering != nat.BehaviorUnknown || v.Refuse != Drop):
		return fmt.Errorf("an open router neither filters nor refuses IPv6")
	case v.NoGlobal && !v.ULA:
		return fmt.Errorf("IPv6 with neither global nor unique local addresses")
	}
	return nil
}

// Stack is the address families of one interface of a host.
type Stack uint8

const (
	IPv4 Stack = iota // only
	IPv6              // only
	DualStack
)

func (s Stack) has4() bool { return s != IPv6 }
func (s Stack) has6() bool { return s != IPv4 }

// Typed gives a NAT that RFC 3489 calls by the name t. There is none for
// nat.Open, which is a host without a box, and for nat.TypeUnknown: they give
// the zero NAT.
func Typed(t nat.Type) NAT {
	switch t {
	case nat.SymmetricFirewall:
		return NAT{Firewall: true}
	case nat.FullCone:
		return NAT{Filtering: nat.EndpointIndependent}
	case nat.Restricted:
		return NAT{Filtering: nat.AddressDependent}
	case nat.Symmetric:
		return NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Random}}
	case nat.Blocked:
		return NAT{UDPBlocked: true, OnlyTCPPorts: []uint16{443}}
	}
	return NAT{}
}

// HostConfig describes a host. The zero value is a host on the internet.
type HostConfig struct {
	Name   string // for logs; default "host1", "host2", …
	Behind *Box   // default: on the internet
	Stack  Stack  // default IPv4; IPv6 behind a box needs its NAT.V6
	// Addresses is the number of IP addresses of each family, e.g. 2 for an
	// RFC 5780 server. Default 1, at most 200 on the internet and what the LAN
	// holds behind a box.
	Addresses int
	// Delay, Jitter and Loss are those of the host's own link; see Link.
	Delay, Jitter time.Duration
	Loss          float64
	// More are further uplinks, eth1, eth2 and so on, at most 7. As on a laptop
	// on Wi-Fi and a cable, the first one's default route wins, whatever address
	// a packet leaves from; what is bound to another device goes its way.
	More []Uplink
}

// Uplink is one more interface of a host, with the fields of HostConfig.
type Uplink struct {
	Behind        *Box
	Stack         Stack
	Addresses     int
	Delay, Jitter time.Duration
	Loss          float64
}

// uplinks are all of a host, the first included, checked and with the defaults in.
func (c HostConfig) uplinks() ([]Uplink, error) {
	all := append([]Uplink{{c.Behind, c.Stack, c.Addresses, c.Delay, c.Jitter, c.Loss}}, c.More...)
	if len(all) > maxUplinks {
		return nil, fmt.Errorf("%d uplinks: want at most %d", len(all), maxUplinks)
	}
	for n := range all {
		u := &all[n]
		if u.Addresses == 0 {
			u.Addresses = 1
		}
		if u.Addresses < 0 || u.Addresses > maxAddresses {
			return nil, fmt.Errorf("%d addresses: want 1 to %d", u.Addresses, maxAddresses)
		}
		if u.Stack > DualStack {
			return nil, fmt.Errorf("no host has the address families %d", u.Stack)
		}
	}
	return all, nil
}

const maxUplinks = 8

func (l Link) check() error {
	if l.Delay < 0 || l.Jitter < 0 || !(l.Loss >= 0 && l.Loss <= 1) {
		return fmt.Errorf("link with delay %v, jitter %v, loss %v: want none negative, loss at most 1", l.Delay, l.Jitter, l.Loss)
	}
	return nil
}

// filled checks c and puts the defaults in.
func (c NAT) filled() (NAT, error) {
	if c.Kernel {
		if err := c.checkKernel(); err != nil {
			return c, err
		}
	}
	if c.Mapping == nat.BehaviorUnknown || c.Firewall { // which maps everything to itself
		c.Mapping = nat.EndpointIndependent
	}
	if c.Filtering == nat.BehaviorUnknown {
		c.Filtering = nat.AddressAndPortDependent
	}
	if c.Mapping > nat.AddressAndPortDependent || c.Filtering > nat.AddressAndPortDependent {
		return c, fmt.Errorf("mapping %v, filtering %v: not in RFC 4787", c.Mapping, c.Filtering)
	}
	if c.Ports.Kind == nat.DeltaUnknown {
		c.Ports.Kind = nat.Equal
	}
	stepped := c.Ports.Kind == nat.Independent || c.Ports.Kind == nat.Dependent
	if c.Ports.Kind < nat.Equal || c.Ports.Kind > nat.Random || stepped == (c.Ports.Value == 0) || c.Ports.Value < -32768 || c.Ports.Value > 32767 {
		return c, fmt.Errorf("no NAT chooses ports by %q", c.Ports)
	}
	if c.Range == [2]uint16{} {
		c.Range = [2]uint16{1024, 65535}
	}
	if c.Range[0] == 0 || c.Range[1] < c.Range[0] {
		return c, fmt.Errorf("port range %d to %d is empty or holds 0", c.Range[0], c.Range[1])
	}
	if c.Externals == 0 {
		c.Externals = 1
	}
	if c.Externals < 0 || c.Externals > maxAddresses {
		return c, fmt.Errorf("%d external addresses: want 1 to %d", c.Externals, maxAddresses)
	}
	if int(c.Refuse) >= len(refusalNames) {
		return c, fmt.Errorf("no NAT refuses by %v", c.Refuse)
	}
	if !(c.Foreign >= 0 && c.Foreign <= 1e6) {
		return c, fmt.Errorf("%v foreign allocations a second: want 0 to 1e6", c.Foreign)
	}
	if c.UDPLifetime < 0 || c.TCPLifetime < 0 {
		return c, fmt.Errorf("negative lifetime of a mapping")
	}
	if c.UDPLifetime == 0 {
		c.UDPLifetime = 2 * time.Minute
	}
	if c.TCPLifetime == 0 {
		c.TCPLifetime = 2*time.Hour + 4*time.Minute
	}
	if c.LAN.IsValid() && (!c.LAN.Addr().Is4() || c.LAN.Bits() < 16 || c.LAN.Bits() > 29 || c.LAN != c.LAN.Masked()) {
		return c, fmt.Errorf("LAN %q: want an IPv4 network between /16 and /29", c.LAN)
	}
	if c.V6 != nil {
		if err := c.V6.check(); err != nil {
			return c, err
		}
	}
	return c, Link{c.Delay, c.Jitter, c.Loss}.check()
}

// checkKernel refuses what Linux can't be told to do.
func (c NAT) checkKernel() error {
	ports := c.Ports.Kind == nat.DeltaUnknown || c.Ports.Kind == nat.Equal || c.Ports.Kind == nat.Random
	if !ports || c.Mapping != nat.BehaviorUnknown || c.Filtering != nat.BehaviorUnknown || c.Range != [2]uint16{} ||
		c.Foreign != 0 || c.Externals > 1 || c.Arbitrary || c.NoSimultaneousOpen || c.EndOnRST || c.EndOnFIN ||
		c.UDPLifetime != 0 || c.TCPLifetime != 0 || c.Firewall || c.Hairpin || c.V6 != nil {
		return fmt.Errorf("a kernel NAT takes no other behaviour than ports (equal or random), refusal and what it blocks")
	}
	return nil
}
