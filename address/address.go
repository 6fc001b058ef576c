package address

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// Limits of an address. They keep every valid address, in either form, below
// MaxLength bytes.
const (
	MaxLength     = 4096  // bytes of an address in text; more is refused unread
	MaxInterfaces = 3     // interfaces of one family
	MaxBrokers    = 8     // brokers
	MaxBrokerURL  = 128   // bytes of a broker's URL before percent-encoding
	MaxMachineID  = 64    // characters of a machine id
	MaxForeign    = 64    // characters of a foreign node id
	maxIndex      = 65535 // every index, and the round trip to the broker in ms
)

// Address is everything that a peer must know to call a node. A value that
// came from Parse is canonical: whatever is in it may be relied on.
type Address struct {
	Brokers   []Broker    // where the node listens for signals, best first, at most MaxBrokers; none means those that follow from Key
	V4, V6    []Interface // at most MaxInterfaces each
	Key       Key         // zero where Foreign is set
	Foreign   string      // a node id that is no key (P2PD's); it proves nobody
	MachineID string      // 0 to MaxMachineID of [A-Za-z0-9_]
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
	BrokerRTT    time.Duration // round trip to the first broker, at most 65535 ms, written in whole ms rounded up; 0 is unknown
}

// ExternalEndpoint is where Port is seen from outside.
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

// Equal reports whether a and b are written alike.
func (a Address) Equal(b Address) bool {
	same := func(x, y Interface) bool { return x.canonical() == y.canonical() }
	return a.Key == b.Key && a.Foreign == b.Foreign && a.MachineID == b.MachineID &&
		slices.Equal(a.Brokers, b.Brokers) &&
		slices.EqualFunc(a.V4, b.V4, same) && slices.EqualFunc(a.V6, b.V6, same)
}

// canonical gives i as Parse would give it: no external port that says
// nothing, and a round trip in whole milliseconds, rounded up so that one that
// is known never turns into one that is not.
func (i Interface) canonical() Interface {
	if i.ExternalPort == i.Port {
		i.ExternalPort = 0
	}
	if i.BrokerRTT > 0 {
		i.BrokerRTT = (i.BrokerRTT + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	return i
}

// Validate reports the first thing that keeps a from being written as an
// address. What came from Parse is always valid.
func (a Address) Validate() error {
	if a.Key.IsZero() == (a.Foreign == "") {
		return errors.New("address: exactly one of key and foreign node id must be set")
	}
	if a.Foreign != "" && !validForeign(a.Foreign) {
		return fmt.Errorf("address: foreign node id %q is not %s", shorten(a.Foreign, foundShown), wantForeign)
	}
	if !validMachineID(a.MachineID) {
		return fmt.Errorf("address: machine id %q is not %s", shorten(a.MachineID, foundShown), wantMachineID)
	}
	if len(a.Brokers) > MaxBrokers {
		return fmt.Errorf("address: %d brokers, at most %d are allowed", len(a.Brokers), MaxBrokers)
	}
	for n, b := range a.Brokers {
		if err := b.Validate(); err != nil {
			return fmt.Errorf("address: %w", err)
		}
		if slices.Contains(a.Brokers[:n], b) {
			return fmt.Errorf("address: broker %q stands there twice", b)
		}
	}
	for _, f := range []struct {
		family family
		list   []Interface
	}{{ipv4, a.V4}, {ipv6, a.V6}} {
		if len(f.list) > MaxInterfaces {
			return fmt.Errorf("address: %d %s interfaces, at most %d are allowed", len(f.list), f.family, MaxInterfaces)
		}
		for n, i := range f.list {
			if err := i.validate(f.family); err != nil {
				return fmt.Errorf("address: %s interface %d: %w", f.family, n+1, err)
			}
		}
	}
	return nil
}

func (i Interface) validate(f family) error {
	if i.NetIndex < 0 || i.NetIndex > maxIndex || i.Index < 0 || i.Index > maxIndex {
		return fmt.Errorf("indices %d and %d must both be 0 to %d", i.NetIndex, i.Index, maxIndex)
	}
	for _, ip := range []netip.Addr{i.External, i.Internal} {
		if _, want := f.check(ip); want != "" {
			return fmt.Errorf("%v is not %s", ip, want)
		}
	}
	if i.Port == 0 {
		return errors.New("port is 0")
	}
	if !i.NAT.Valid() {
		return fmt.Errorf("%v is no NAT type of an address", i.NAT)
	}
	if !i.Delta.Kind.Valid() {
		return fmt.Errorf("%v is no delta of an address", i.Delta.Kind)
	}
	if i.Delta.Value < -32768 || i.Delta.Value > 32767 {
		return fmt.Errorf("delta value %d is not -32768 to 32767", i.Delta.Value)
	}
	if i.Delta.Value != 0 && !stepped(i.Delta.Kind) {
		return fmt.Errorf("delta %v has no value, yet it is %d", i.Delta.Kind, i.Delta.Value)
	}
	if i.BrokerRTT < 0 || i.BrokerRTT > maxIndex*time.Millisecond {
		return fmt.Errorf("broker round trip %v is not 0 to %d ms", i.BrokerRTT, maxIndex)
	}
	return nil
}

// stepped reports whether a delta of kind k has a value.
func stepped(k nat.DeltaKind) bool { return k == nat.Independent || k == nat.Dependent }

// family is the IP version of a list of interfaces.
type family string

const (
	ipv4 family = "IPv4"
	ipv6 family = "IPv6"
)

// check says what is wrong with ip as the address of an interface of family f;
// want is empty where nothing is. Addresses that no interface can have are
// refused here, so that nobody dials them later.
func (f family) check(ip netip.Addr) (fail Failure, want string) {
	article := "an " + string(f) + " address"
	switch {
	case !ip.IsValid():
		return NotAnIP, article
	case f == ipv6 && ip.Is4In6():
		return WrongFamily, article + " (one that holds an IPv4 address is written as IPv4)"
	case ip.Is4() != (f == ipv4):
		return WrongFamily, article
	case ip.Zone() != "":
		return NotAnIP, article + " without a zone, which means something on one machine only"
	case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return NotAnIP, article + " that one interface can have"
	}
	return "", ""
}
