// Package nat is the vocabulary of NATs and the reasoning about them: what a
// NAT maps, what it filters, how its port numbers move, and from that, which
// port it will use next. Everything here is a value or a function of values;
// sockets live in nat/probe.
//
// The words are those of RFC 4787 (UDP), RFC 5382 (TCP) and RFC 5780
// (discovery); Type and DeltaKind carry the numbers that P2PD writes into its
// addresses.
package nat

import "fmt"

// Type is the class of a NAT in the words of RFC 3489 §5, numbered as P2PD
// numbers it in addresses. The zero value means that nothing was found out.
type Type uint8

const (
	TypeUnknown       Type = iota // nothing is known; never written in an address
	Open                          // no NAT, no filter: everyone can dial in
	SymmetricFirewall             // no NAT, but only those that we wrote to get in
	FullCone                      // endpoint-independent mapping and filtering
	Restricted                    // endpoint-independent mapping, address-dependent filtering
	PortRestricted                // endpoint-independent mapping, address- and port-dependent filtering
	Symmetric                     // the mapping depends on the destination
	Blocked                       // no server answered
)

var typeNames = [...]string{
	"unknown", "open internet", "symmetric firewall", "full cone",
	"restricted", "port restricted", "symmetric", "blocked",
}

// String gives the name as RFC 3489 spells it, in lower case.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("nat.Type(%d)", uint8(t))
}

// Valid reports whether t may stand in an address: 1 to 7.
func (t Type) Valid() bool { return t >= Open && t <= Blocked }

// Translates reports whether addresses are rewritten, so that the port seen
// from outside may differ from the local one.
func (t Type) Translates() bool { return t >= FullCone && t <= Symmetric }

// AcceptsUnsolicited reports whether a stranger's first SYN to the mapped port
// gets in.
func (t Type) AcceptsUnsolicited() bool { return t == Open || t == FullCone }

// Behavior is how a mapping or a filter depends on the remote endpoint
// (RFC 4787 §4.1 and §5, RFC 5382 §4 and §5 for TCP).
type Behavior uint8

const (
	BehaviorUnknown Behavior = iota
	EndpointIndependent
	AddressDependent
	AddressAndPortDependent
)

var behaviorNames = [...]string{
	"unknown", "endpoint-independent", "address-dependent", "address- and port-dependent",
}

// String gives RFC 4787's name, in lower case.
func (b Behavior) String() string {
	if int(b) < len(behaviorNames) {
		return behaviorNames[b]
	}
	return fmt.Sprintf("nat.Behavior(%d)", uint8(b))
}
