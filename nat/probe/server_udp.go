package probe

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// serveUDP answers what comes in at p until the socket is closed.
func (s *Server) serveUDP(p *spot) {
	b := make([]byte, largest+1)
	for {
		n, from, err := p.udp.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if !s.pause() {
				return
			}
			continue
		}
		source := unmapped(from)
		if source.Port() == 0 {
			continue
		}
		m, err := parse(b[:n])
		if err != nil {
			s.malformed.Add(1)
			continue
		}
		if !s.limits.allow(source.Addr(), m.change != 0 || m.port != 0, time.Now()) {
			s.limited.Add(1)
			continue // no answer: a forged source would get it
		}
		if at, out := s.reply(p, m, source, false); out != nil && at.udp != nil {
			if m.port != 0 && success(out) {
				from = netip.AddrPortFrom(from.Addr(), m.port)
			}
			if _, err := at.udp.WriteToUDPAddrPort(out, from); err != nil {
				s.cfg.Logger.Debug("stun answer not sent", "to", source, "error", err)
				continue
			}
			s.udp.Add(1)
		}
	}
}

// success reports whether a message of ours is a success response.
func success(b []byte) bool {
	t := stun.BindingSuccess.Value()
	return b[0] == byte(t>>8) && b[1] == byte(t)
}

// pause waits a little after an error of a listening socket, so that running
// out of descriptors does not take the processor as well. It is false when the
// server closes.
func (s *Server) pause() bool {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
