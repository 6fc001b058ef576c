package probe

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// callers says whence the server can call a client of p, as flags of
// CHANGE-REQUEST; 0 for a server that does not call.
func (s *Server) callers(p *spot) uint32 {
	if s.cfg.NoCalls {
		return 0
	}
	if s.sibling(p, changeIP) != nil {
		return changePort | changeIP
	}
	return changePort
}

// calls does what a request over the connection c asks for: it calls the
// source of c, from another port or another IP or both. It takes callTime at
// most. The connections that were taken are for the caller to close after its
// answer.
func (s *Server) calls(p *spot, c net.Conn, source netip.AddrPort, want uint32) (results [2]callResult, taken []*net.TCPConn) {
	want &= s.callers(p)
	if want == 0 || !s.limits.allow(source.Addr(), true, time.Now()) {
		return results, nil
	}
	local := unmapped(c.LocalAddr().(*net.TCPAddr).AddrPort()).Addr()
	froms := [2]netip.Addr{}
	if want&changePort != 0 {
		froms[0] = local
	}
	if o := s.sibling(p, changeIP); want&changeIP != 0 && o != nil {
		froms[1] = o.at.Addr()
	}
	var wg sync.WaitGroup
	var conns [2]*net.TCPConn
	for i, from := range froms {
		if !from.IsValid() {
			continue
		}
		select {
		case s.calling <- struct{}{}:
		default:
			continue // too many at a time
		}
		wg.Go(func() {
			defer func() { <-s.calling }()
			s.called.Add(1)
			results[i], conns[i] = call(s.ctx, from, source)
		})
	}
	wg.Wait()
	for _, c := range conns {
		if c != nil {
			taken = append(taken, c)
		}
	}
	return results, taken
}
