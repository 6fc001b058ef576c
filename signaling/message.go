// Package signaling lets two nodes that have never met set up a connection by
// short messages over public brokers. It knows nothing of MQTT: a Channel
// carries payloads, and Exchange makes questions and answers of them.
//
// A Message is JSON, sealed by package seal for its recipient and signed by its
// sender. What arrives goes through the stations of an Inbox, cheapest first,
// and only what an admitted sender signed for us, lately and for the first
// time, comes out of it. Of what follows from a message nothing is done here:
// which packets may be sent on a stranger's word is for package reflector to
// say.
//
// docs/signaling.md is the specification.
package signaling

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/sallyport-net/sallyport/address"
)

// Kind names what a message is for, by P2PD's names.
type Kind string

const (
	KindDirect        Kind = "P2P_DIRECT"  // connect back to me
	KindPunch         Kind = "P2P_PUNCH"   // let us open a hole together
	KindRelay         Kind = "P2P_RELAY"   // meet me at a relay
	KindGetAddress    Kind = "GET_ADDR"    // tell me your current address
	KindReturnAddress Kind = "RETURN_ADDR" // my current address is in From
	KindAck           Kind = "ACK"         // the message arrived and is being worked on
	KindRefuse        Kind = "REFUSE"      // no, and why
)

// ID is 16 random bytes; in JSON 32 hex digits.
type ID [16]byte

// NewID makes a random id, for an attempt or a secret.
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// String gives the 32 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText gives the 32 hex digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads exactly 32 hex digits.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != 32 {
		return fmt.Errorf("an id has 32 hex digits, not %d characters", len(b))
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// Secret is the secret of an attempt, from which the tokens of its connections
// are made. It is an ID in form, and never logged.
type Secret = ID

// Message is the body of a signal: what is sealed, signed and sent.
type Message struct {
	Kind    Kind            `json:"kind"`
	ID      ID              `json:"id"`
	Answers ID              `json:"answers,omitzero"` // the message that this one answers
	Attempt ID              `json:"attempt,omitzero"` // the attempt to connect that it belongs to
	Sent    int64           `json:"sent"`             // ms since 1970 by the sender's clock
	TTL     int64           `json:"ttl"`              // ms, 1 to 60000
	From    address.Address `json:"from"`             // the sender's address
	// Delay is, in a retransmission, how long after Sent this copy left, in
	// ms, at most 60000. ID and Sent are the same in every copy.
	Delay int64 `json:"delay,omitempty"`
	// Heard is, in an answer, when the question arrived, less its Delay, in ms
	// since 1970 by the answerer's clock. With Sent and the two times of the
	// asker it gives the offset of the two clocks, whichever copy came first.
	Heard int64 `json:"heard,omitempty"`

	Direct *Direct `json:"direct,omitempty"`
	Punch  *Punch  `json:"punch,omitempty"`
	Relay  *Relay  `json:"relay,omitempty"`
	Refuse *Refuse `json:"refuse,omitempty"`
}

// Direct asks the recipient to dial the sender.
type Direct struct {
	Secret Secret           `json:"secret"`
	Dial   []netip.AddrPort `json:"dial"` // where the sender listens, best first, at most 6
}

// Relay asks the recipient to come to the sender at a relay, or answers that
// the sender may come to us at one. A question that names no endpoint asks for
// such an answer.
//
// With By it is about nodes that relay, and about nothing else: a question asks
// the recipient to let the sender be brought by one of these, or, where the list
// is empty, to name some; the answer names those that may bring the sender.
type Relay struct {
	Secret Secret           `json:"secret"`
	Dial   []netip.AddrPort `json:"dial,omitempty"` // the sender's endpoints on relays, best first, at most 6
	Loan   *Loan            `json:"loan,omitempty"` // for a recipient who cannot dial them
	// By are nodes that relay, at most 3: their keys, and the brokers on which
	// they are found. They tell their interfaces themselves, to whom they admit.
	By []address.Address `json:"by,omitzero"`
}

// Loan opens a TURN server, for some minutes, to a recipient whose network lets
// it out to that server alone.
type Loan struct {
	At       netip.AddrPort `json:"at"`            // the TURN server, over TCP
	TLS      string         `json:"tls,omitempty"` // the name that its certificate is for; empty: without TLS
	User     string         `json:"user"`          // 1 to 256 bytes, printable
	Password string         `json:"password"`      // the same; never logged
}

// Role is what the recipient of a P2P_PUNCH is to do at the agreed instant.
type Role string

const (
	RoleDialer Role = "dialer" // dial with full TTL
	RolePrimer Role = "primer" // open one's own NAT, and wait
)

// Punch tells one side's mapping and when to open. The first one of an attempt
// comes from the caller; an answer is sent only where the recipient's mapping
// was not known (To is empty), and then To of the answer is From of the
// question.
type Punch struct {
	Secret Secret           `json:"secret"`
	Role   Role             `json:"role"`
	Round  int              `json:"round,omitempty"`
	From   []netip.AddrPort `json:"from"`         // the sender's predicted mappings, likeliest first, at most 16
	To     []netip.AddrPort `json:"to,omitempty"` // the recipient's mappings that the sender will dial, at most 16
	At     netip.AddrPort   `json:"at,omitzero"`  // the recipient's interface that is meant: its external endpoint
	Fire   int64            `json:"fire"`         // ms after receipt, 0 to 10000; less in a retransmission
}

// Reason says why a message was refused.
type Reason string

const (
	RefusedPolicy      Reason = "policy"      // we do not admit this sender
	RefusedClock       Reason = "clock"       // the two clocks are too far apart
	RefusedBusy        Reason = "busy"        // a budget is used up
	RefusedImpossible  Reason = "impossible"  // our NAT does not allow what is asked
	RefusedUnreached   Reason = "unreached"   // we do not get to what it takes, such as a node that relays for us
	RefusedUnsupported Reason = "unsupported" // a kind that we do not know
)

// Refuse is a no with its reason.
type Refuse struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"` // for people, at most 200 bytes
}
