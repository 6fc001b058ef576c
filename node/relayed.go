package node

import (
	"net"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/node/session"
)

// relayed is a connection to a relay that leads to a peer: what it is connected
// with says nothing of where the peer is.
type relayed struct{ net.Conn }

// isRelayed reports whether c runs over such a connection.
func isRelayed(c net.Conn) bool {
	for {
		if _, ok := c.(relayed); ok {
			return true
		}
		beneath, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		c = beneath.NetConn()
	}
}

// carriedBy gives the node that relays, where c runs over a circuit: else none.
func carriedBy(c net.Conn) (by address.Key) {
	for {
		if circuit, ok := c.(*circuit.Conn); ok {
			return circuit.By()
		}
		beneath, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return address.Key{}
		}
		c = beneath.NetConn()
	}
}

// path is what is known of a link that carries a session, or did.
type path struct {
	via Strategy
	by  address.Key // the node that relays; zero where none does
}

func pathOf(c net.Conn, via Strategy) path { return path{via, carriedBy(c)} }

// pathIn is the one in use, or the last one.
func pathIn(s *session.Session) path { return s.Path().(path) }

// NetConn is the connection beneath.
func (r relayed) NetConn() net.Conn { return r.Conn }

// keep has a connection that leads through an allocation of ours end in order,
// now that it is the one that carries a session.
func keep(c net.Conn) {
	for {
		if r, ok := c.(*relay.Conn); ok {
			r.Keep()
			return
		}
		beneath, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = beneath.NetConn()
	}
}
