package natlab

import (
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// flow names a session as the inside sees it. With part of remote left out it
// names a mapping: what RFC 4787 §4.1 lets it depend on.
type flow struct {
	proto         uint8
	inner, remote netip.AddrPort
}

// outside names a mapping as the internet sees it.
type outside struct {
	proto uint8
	outer netip.AddrPort
}

// mapping ties an inner endpoint to an outer one for as long as a session uses it.
type mapping struct {
	key      flow // under which translator.mappings holds it
	outer    netip.AddrPort
	used     time.Duration               // the latest of its sessions' used
	sessions map[netip.AddrPort]*session // by remote
	written  map[netip.Addr]int          // sessions by remote address, for AddressDependent
}

// session is what a NAT knows of one inner endpoint's talk with one remote one.
type session struct {
	m       *mapping
	flow    flow
	used    time.Duration // when a packet last kept it alive
	pending bool          // our SYN has not been answered
	reset   bool          // an RST was seen
	fins    uint8         // 1: the inside's FIN was seen, 2: the outside's
}

// masked cuts the remote endpoint down to what behaviour b looks at.
func masked(b nat.Behavior, remote netip.AddrPort) netip.AddrPort {
	switch b {
	case nat.EndpointIndependent:
		return netip.AddrPort{}
	case nat.AddressDependent:
		return netip.AddrPortFrom(remote.Addr(), 0)
	}
	return remote
}

// open starts a session of m with remote. A session that came in from a
// stranger may find its flow taken by a mapping of the inner host's own; then
// that one keeps the way out.
func (t *translator) open(now time.Duration, m *mapping, remote netip.AddrPort) *session {
	s := &session{m: m, used: now, flow: flow{m.key.proto, m.key.inner, remote}}
	m.used = now
	m.sessions[remote] = s
	m.written[remote.Addr()]++
	if _, taken := t.flows[s.flow]; !taken {
		t.flows[s.flow] = s
	}
	t.count++
	return s
}

// end forgets s, and its mapping if that was the last session.
func (t *translator) end(s *session) {
	if s.m.sessions[s.flow.remote] != s {
		return
	}
	delete(s.m.sessions, s.flow.remote)
	if a := s.flow.remote.Addr(); s.m.written[a] > 1 {
		s.m.written[a]--
	} else {
		delete(s.m.written, a)
	}
	if t.flows[s.flow] == s {
		delete(t.flows, s.flow)
	}
	t.count--
	if len(s.m.sessions) == 0 {
		delete(t.outer, outside{s.flow.proto, s.m.outer})
		if t.mappings[s.m.key] == s.m {
			delete(t.mappings, s.m.key)
		}
	}
}

// lifetime is how long a session of proto may lie idle.
func (t *translator) lifetime(proto uint8) time.Duration {
	if proto == protoTCP {
		return t.cfg.TCPLifetime
	}
	return t.cfg.UDPLifetime
}

// transitory is how long a TCP session may lie idle that is not established
// (RFC 5382 REQ-5).
const transitory = 4 * time.Minute

// stale reports whether s has been idle for too long.
func (t *translator) stale(now time.Duration, s *session) bool {
	life := t.lifetime(s.flow.proto)
	if s.pending || s.reset || s.fins == 3 {
		life = min(life, transitory)
	}
	return now-s.used >= life
}

// prune ends m's stale sessions and reports whether any is left.
func (t *translator) prune(now time.Duration, m *mapping) bool {
	for _, s := range m.sessions {
		if t.stale(now, s) {
			t.end(s)
		}
	}
	return len(m.sessions) > 0
}

// alive reports whether m still has a session, without looking at them all if
// it was used lately.
func (t *translator) alive(now time.Duration, m *mapping) bool {
	return now-m.used < min(t.lifetime(m.key.proto), transitory) || t.prune(now, m)
}

// sweep ends stale sessions everywhere, each time that their number has doubled.
func (t *translator) sweep(now time.Duration) {
	if t.count < t.sweepAt {
		return
	}
	for _, m := range t.outer {
		t.prune(now, m)
	}
	t.sweepAt = max(minSweep, 2*t.count)
}

const minSweep = 1024

// follow notes what a packet of s says about the state of its connection.
func (t *translator) follow(now time.Duration, s *session, p *packet, out bool) {
	if out || p.proto != protoUDP {
		s.used, s.m.used = now, now
	}
	if p.proto != protoTCP {
		return
	}
	flags := p.flags()
	switch {
	case p.syn():
		s.pending, s.reset, s.fins = out || s.pending, false, 0
	case !out:
		s.pending = false
	}
	closed := s.fins == 3 && flags&flagFIN == 0
	if flags&flagFIN != 0 {
		if out {
			s.fins |= 1
		} else {
			s.fins |= 2
		}
	}
	s.reset = s.reset || flags&flagRST != 0
	if t.cfg.EndOnRST && s.reset || t.cfg.EndOnFIN && closed {
		t.end(s)
	}
}
