package node

import (
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Notice is one thing that happened to a node.
type Notice struct {
	At time.Time
	// Dropped is how many notices were dropped between the last one and this
	// one, because the reader was too slow.
	Dropped int
	// What happened: one of the types below that implement Happening.
	What Happening
}

// Happening is what a Notice tells of: Started, AddressChanged, BrokerUp,
// BrokerDown, CallBegun, CallStep, CallEnded, Connected, PathLost, PathBack,
// PathMoved or Closed. More kinds may come: pass over those that you don't know.
type Happening interface{ happening() }

// Started comes first in every stream: the node as it is when one begins to
// listen.
type Started struct {
	Since   time.Time // when New was called
	Address address.Address
}

// AddressChanged is the node's address when it has become another, as with
// NextAddress.
type AddressChanged struct{ Address address.Address }

// BrokerUp is a signalling broker that is open now, our own or a peer's.
type BrokerUp struct {
	Broker   address.Broker
	Endpoint string // the URL
}

// BrokerDown is a broker that was lost, or that can't be had.
type BrokerDown struct {
	Broker   address.Broker
	Endpoint string // the URL, "" where there is none
	Err      error
}

// CallPurpose is why a peer is called.
type CallPurpose string

const (
	ToConnect CallPurpose = "connect" // Connect or Ping
	ToRescue  CallPurpose = "rescue"  // the path of a session was lost
	ToImprove CallPurpose = "improve" // a session runs through a relay
	ToRelay   CallPurpose = "relay"   // a node is to relay, or is to be led to
)

// CallBegun is the beginning of a call of ours. Call names it until it ends.
type CallBegun struct {
	Call    string
	Peer    address.Key
	Purpose CallPurpose
}

// CallStep is a step of one of the strategies of a call.
type CallStep struct {
	Call string
	Peer address.Key
	Step Event
}

// CallEnded is the end of a call: Err is nil where it led to a link, by the
// strategy Via.
type CallEnded struct {
	Call string
	Peer address.Key
	Via  Strategy
	Took time.Duration
	Err  error
	What string // for people, the one cause of Err; "" without one
}

// Connected is a new session, of ours (Opener) or of the peer's. Session is
// its number in this node, from 1 on.
type Connected struct {
	Session int
	Peer    address.Key
	Opener  bool
	Via     Strategy    // as Conn.Via
	By      address.Key // as Conn.By
	Remote  net.Addr
}

// PathLost is a session whose path is silent or gone; another one is looked for.
type PathLost struct {
	Session int
	Peer    address.Key
}

// PathBack is a session whose path is heard again.
type PathBack struct {
	Session int
	Peer    address.Key
}

// PathMoved is a session that goes on over another path.
type PathMoved struct {
	Session int
	Peer    address.Key
	Via     Strategy
	By      address.Key
	Remote  net.Addr
}

// Closed is a session that is over. Err is nil where both ends had finished and
// knew it of each other.
type Closed struct {
	Session int
	Peer    address.Key
	Err     error
}

func (Started) happening()        {}
func (AddressChanged) happening() {}
func (BrokerUp) happening()       {}
func (BrokerDown) happening()     {}
func (CallBegun) happening()      {}
func (CallStep) happening()       {}
func (CallEnded) happening()      {}
func (Connected) happening()      {}
func (PathLost) happening()       {}
func (PathBack) happening()       {}
func (PathMoved) happening()      {}
func (Closed) happening()         {}
