package node

import (
	"net"

	"github.com/sallyport-net/sallyport/node/relay"
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
