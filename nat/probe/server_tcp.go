package probe

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// sendTime bounds how long a client may take to read one answer.
const sendTime = 5 * time.Second

// serveTCP accepts at p until the listener is closed.
func (s *Server) serveTCP(p *spot) {
	for {
		c, err := p.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.cfg.Logger.Warn("stun accept failed", "at", p.at, "error", err)
			if !s.pause() {
				return
			}
			continue
		}
		source := unmapped(c.RemoteAddr().(*net.TCPAddr).AddrPort())
		if !s.conns.add(c, source.Addr()) {
			_ = c.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.conns.remove(c, source.Addr())
			s.converse(p, c, source)
		})
	}
}

// converse answers the requests of one connection, one after another. A client
// that says nothing may stay for Idle; one that sends what is no STUN goes.
func (s *Server) converse(p *spot, c net.Conn, source netip.AddrPort) {
	end := time.Now().Add(s.cfg.Life)
	for range s.cfg.Requests {
		idle := time.Now().Add(s.cfg.Idle)
		if idle.After(end) {
			idle = end
		}
		if c.SetReadDeadline(idle) != nil {
			return
		}
		m, err := readMessage(c)
		if err != nil {
			if errors.Is(err, errNotSTUN) {
				s.malformed.Add(1)
			}
			return
		}
		_, out := s.reply(p, m, source, true)
		if out == nil {
			continue
		}
		if m.call != 0 && m.asksOnly() {
			results, taken := s.calls(p, c, source, m.call)
			out = addResults(out, results)
			for _, c := range taken {
				// Not yet: an RST that overtakes the end of the handshake
				// leaves the client nothing to accept.
				defer time.AfterFunc(callHold, func() { _ = c.Close() }).Stop()
				defer c.Close()
			}
		}
		if c.SetWriteDeadline(time.Now().Add(sendTime)) != nil {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
		s.tcp.Add(1)
	}
}

// connections are the open connections, counted by source.
type connections struct {
	mu       sync.Mutex
	open     map[net.Conn]bool
	from     map[netip.Prefix]int
	all, per int
	away     uint64 // turned away
	closed   bool
}

func newConnections(all, per int) *connections {
	return &connections{open: map[net.Conn]bool{}, from: map[netip.Prefix]int{}, all: all, per: per}
}

// add takes c in, or is false when there are too many.
func (s *connections) add(c net.Conn, ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := source(ip)
	if s.closed || len(s.open) >= s.all || s.from[src] >= s.per {
		s.away++
		return false
	}
	s.open[c] = true
	s.from[src]++
	return true
}

// remove forgets c and closes it: in this order, so that whoever sees its end may
// come again.
func (s *connections) remove(c net.Conn, ip netip.Addr) {
	defer c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	src := source(ip)
	if s.from[src]--; s.from[src] <= 0 {
		delete(s.from, src)
	}
}

func (s *connections) counts() (open int, turnedAway uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.away
}

// close closes all and takes no more in.
func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
}
