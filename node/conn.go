package node

import (
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

// Conn is a connection to a peer: a net.Conn with half-close (CloseWrite),
// encrypted, between two proven keys (Peer gives the other one).
//
// On the side that called, the first Read gives link.ErrRefused where the
// peer's policy says no.
type Conn struct {
	*link.Conn
	via  Strategy
	took time.Duration
	log  []Event
}

// Via is the strategy by which the connection was made, as its caller counts.
func (c *Conn) Via() Strategy { return c.via }

// Took is the time from the call of Connect until the peer's key was proven; 0
// on the side that was called.
func (c *Conn) Took() time.Duration { return c.took }

// Timeline is what happened on the way, oldest first; empty on the side that
// was called.
func (c *Conn) Timeline() []Event { return c.log }

// Event is one step of an attempt to connect.
type Event struct {
	At       time.Duration // since the call of Connect
	Strategy Strategy      // empty where it concerns the whole attempt
	What     string        // for people
}
