package probe

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat"
)

// dialer opens TCP connections to STUN servers from one local port.
type dialer struct {
	local netip.AddrPort
	// shared sets SO_REUSEADDR and SO_REUSEPORT, so that several connections
	// and a listener can have the port.
	shared  bool
	control func(network, address string, c syscall.RawConn) error
}

// dial connects to to. begun, where not nil, is called just before the SYN
// leaves; the time of that is given back.
//
// With a shared port, EADDRNOTAVAIL means that the four-tuple is in use or in
// TIME_WAIT: another server, or another port of it, is the way out.
func (d dialer) dial(ctx context.Context, to netip.AddrPort, begun func()) (*net.TCPConn, time.Time, error) {
	var sent time.Time
	nd := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(d.local),
		Control: func(network, address string, c syscall.RawConn) error {
			if d.shared {
				if err := reuseport.Control(network, address, c); err != nil {
					return err
				}
			}
			if err := saveACK(c); err != nil {
				return err
			}
			if d.control != nil {
				if err := d.control(network, address, c); err != nil {
					return err
				}
			}
			sent = time.Now()
			if begun != nil {
				begun()
			}
			return nil
		},
	}
	nd.SetMultipathTCP(false)
	c, err := nd.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, sent, err
	}
	tcp := c.(*net.TCPConn)
	// Closing then resets the connection, which leaves no TIME_WAIT on a port
	// that others share.
	_ = tcp.SetLinger(0)
	return tcp, sent, nil
}

// question asks one Binding request over c and waits for the answer until ctx
// ends. A connection on which that has failed is of no more use.
func question(ctx context.Context, c *net.TCPConn) (reply, error) { return questionWith(ctx, c, 0) }

// questionWith asks to be called as well, as the flags say.
func questionWith(ctx context.Context, c *net.TCPConn, call uint32) (reply, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if stop() {
			_ = c.SetDeadline(time.Time{})
		}
	}()
	id, raw := requestWith(attrCall, call)
	sent := time.Now()
	if _, err := c.Write(raw); err != nil {
		return reply{}, cause(ctx, err)
	}
	m, err := readMessage(c)
	if err != nil {
		return reply{}, cause(ctx, err)
	}
	at := time.Now()
	r := reply{message: m, from: remote(c), rtt: at.Sub(sent), at: at, err: m.answers(id)}
	return r, r.err
}

// cause tells silence from other errors.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errSilent
	}
	return err
}

func remote(c *net.TCPConn) netip.AddrPort {
	return unmapped(c.RemoteAddr().(*net.TCPAddr).AddrPort())
}

// tcpMapping is what a reply over c tells about our port.
func tcpMapping(c *net.TCPConn, r reply, sent time.Time) nat.Mapping {
	return nat.Mapping{
		Local:    unmapped(c.LocalAddr().(*net.TCPAddr).AddrPort()),
		External: r.mapped, Server: remote(c),
		Sent: sent, At: r.at, RTT: r.rtt, Rewritten: r.rewritten,
	}
}
