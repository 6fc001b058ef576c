package relay

import (
	"errors"
	"net"

	"github.com/pion/turn/v5"
)

var errElsewhere = errors.New("this relay connects its own endpoints with each other, and dials nobody")

// AllocateConn does what a Connect request (RFC 6062 §5.2) asks for: it joins
// two endpoints of this server, in process. pion/turn sees to it that the other
// one has permitted this server's address. Nothing is ever dialled.
func (p *places) AllocateConn(c turn.AllocateConnConfig) (net.Conn, error) {
	from, to := p.find(c.LocalAddr), p.find(c.RemoteAddr)
	if from == nil || to == nil || from == to || to.lent {
		return nil, errElsewhere
	}
	a, b := net.Pipe()
	near := from.admit(&joined{a, c.LocalAddr, c.RemoteAddr})
	far := to.admit(&joined{b, c.RemoteAddr, c.LocalAddr})
	if near == nil || far == nil {
		for _, c := range []net.Conn{near, far} {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, errors.New("that endpoint has too many connections")
	}
	if err := to.arrive(far); err != nil {
		_ = near.Close()
		return nil, err
	}
	return near, nil
}

// joined is one end of a connection between two endpoints.
type joined struct {
	net.Conn
	local, remote net.Addr
}

func (j *joined) LocalAddr() net.Addr  { return j.local }
func (j *joined) RemoteAddr() net.Addr { return j.remote }
