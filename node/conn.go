package node

import (
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/session"
)

// Conn is a connection to a peer: a net.Conn with half-close (CloseWrite),
// encrypted, between two proven keys (Peer gives the other one). It is a stream
// of a session, and outlives the path that carries it: when that dies or a
// better one is found, the connection goes on over another, and a reader or
// writer notices a pause at most (docs/session.md).
//
// On the side that called, the first Read gives link.ErrRefused where the
// peer's policy says no.
type Conn struct {
	*session.Stream
	took time.Duration
	log  []Event
}

// Via is the strategy by which the path in use was made. On the side that was
// called it is Relay or, for everything else, empty.
func (c *Conn) Via() Strategy { return pathIn(c.Session()).via }

// By is the node that relays, where the path in use leads through one; else it is
// zero, as with a TURN server.
func (c *Conn) By() address.Key { return pathIn(c.Session()).by }

// Moves is how often the connection's session has gone over to another path.
func (c *Conn) Moves() int { return c.Session().Stats().Moves }

// Alive reports whether the path in use works, as far as is known. Where it
// does not, another one is being looked for.
func (c *Conn) Alive() bool { return c.Session().Stats().Alive }

// Changed is closed when Via, Alive, Moves or an address changes the next time,
// and when the connection's session ends.
func (c *Conn) Changed() <-chan struct{} { return c.Session().Changed() }

// Over reports whether the connection's session has ended.
func (c *Conn) Over() bool { return over(c.Session()) }

// Took is the time from the call of Connect until the peer's key was proven; 0
// on the side that was called, and for a stream of a session that was there.
func (c *Conn) Took() time.Duration { return c.took }

// Timeline is what happened on the way, oldest first; empty on the side that
// was called.
func (c *Conn) Timeline() []Event { return c.log }

// Event is one step of an attempt to connect.
type Event struct {
	At       time.Duration // since the call of Connect
	Strategy Strategy      // empty where it concerns the whole attempt
	What     string        // for people; of an error, the one cause
	Err      error         // all of an error that the step is about; nil otherwise
}
