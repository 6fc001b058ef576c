package nat

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// model is a NAT as far as the tests of the reasoning need one: it maps and
// filters by its settings, with no packets and no clock but a counter.
type model struct {
	mapping, filtering Behavior
	ports              Delta
	lo, hi             int
	none               bool    // no NAT at all
	foreign            float64 // allocations by others per allocation of ours
	rng                *rand.Rand

	offset, last int
	lastLocal    uint16
	lastExternal int
	mapped       map[string]uint16
	used         map[uint16]bool
	now          time.Time
}

var (
	localIP    = netip.MustParseAddr("192.168.1.2")
	externalIP = netip.MustParseAddr("203.0.113.7")
)

func newModel(seed uint64, mapping, filtering Behavior, ports Delta) *model {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{mapping: mapping, filtering: filtering, ports: ports, lo: 1024, hi: 65535, rng: rng}
	m.reset()
	return m
}

func (m *model) reset() {
	m.mapped, m.used = map[string]uint16{}, map[uint16]bool{}
	m.last, m.offset = m.random(), 1+m.rng.IntN(m.hi-m.lo)
	m.now = time.Unix(1000, 0)
}

func (m *model) random() int { return m.lo + m.rng.IntN(m.hi-m.lo+1) }
func (m *model) wrap(p int) int {
	n := m.hi - m.lo + 1
	return m.lo + ((p-m.lo)%n+n)%n
}

// external is where local is mapped for server.
func (m *model) external(local uint16, server netip.AddrPort) netip.AddrPort {
	if m.none {
		return netip.AddrPortFrom(localIP, local)
	}
	key := netip.AddrPortFrom(localIP, local).String()
	switch m.mapping {
	case AddressDependent:
		key += server.Addr().String()
	case AddressAndPortDependent:
		key += server.String()
	}
	port, ok := m.mapped[key]
	if !ok {
		port = m.allocate(local)
		m.mapped[key] = port
	}
	return netip.AddrPortFrom(externalIP, port)
}

func (m *model) allocate(local uint16) uint16 {
	for range 20 {
		if m.rng.Float64() < m.foreign/(1+m.foreign) {
			m.last = m.wrap(m.last + m.ports.Value)
		} else {
			break
		}
	}
	p := m.random()
	switch m.ports.Kind {
	case Equal:
		p = int(local)
	case Preserving:
		p = m.wrap(int(local) + m.offset)
	case Independent:
		p = m.wrap(m.last + m.ports.Value)
	case Dependent:
		if local == m.lastLocal+1 {
			p = m.wrap(m.lastExternal + m.ports.Value)
		}
	}
	for p < m.lo || p > m.hi || m.used[uint16(p)] {
		p = m.random()
	}
	m.used[uint16(p)] = true
	m.last, m.lastLocal, m.lastExternal = p, local, p
	return uint16(p)
}

func (m *model) see(local uint16, server netip.AddrPort) Mapping {
	m.now = m.now.Add(time.Millisecond)
	return Mapping{
		Local: netip.AddrPortFrom(localIP, local), External: m.external(local, server),
		Server: server, Sent: m.now, At: m.now.Add(50 * time.Millisecond), RTT: 50 * time.Millisecond,
	}
}

// server gives the i-th server; its alternate IP and port where asked.
func server(i int, otherIP, otherPort bool) netip.AddrPort {
	ip := netip.AddrFrom4([4]byte{198, 51, byte(i), 1})
	if otherIP {
		ip = ip.Next()
	}
	port := uint16(3478)
	if otherPort {
		port++
	}
	return netip.AddrPortFrom(ip, port)
}

// hear does what a probe does: one port to several servers and to the
// alternates of the first, then ports that lie apart, then consecutive ones.
func (m *model) hear(servers int) Heard {
	h := Heard{Asked: servers}
	local := uint16(33000 + m.rng.IntN(20000))
	for i := range servers {
		h.Mappings = append(h.Mappings, m.see(local, server(i, false, false)))
	}
	h.Mappings = append(h.Mappings, m.see(local, server(0, false, true)), m.see(local, server(0, true, true)))
	port := uint16(33000 + m.rng.IntN(20000))
	for i := range 4 {
		port += uint16(5 + m.rng.IntN(90))
		h.Mappings = append(h.Mappings, m.see(port, server(i%servers, false, false)))
	}
	port = uint16(33000 + m.rng.IntN(20000))
	for i := range 5 {
		h.Mappings = append(h.Mappings, m.see(port+uint16(i), server(i%servers, false, false)))
	}
	for i := range min(servers, 2) {
		h.Filters = append(h.Filters, m.filter(i)...)
	}
	return h
}

func (m *model) filter(i int) []Filtered {
	s := server(i, false, false)
	ip := Filtered{Server: s, ChangeIP: true, ChangePort: true, Alive: true}
	port := Filtered{Server: s, ChangePort: true, Alive: true}
	if m.filtering == EndpointIndependent {
		ip.From = server(i, true, true)
	}
	if m.filtering == EndpointIndependent || m.filtering == AddressDependent {
		port.From = server(i, false, true)
	}
	return []Filtered{ip, port}
}

// samples probes both transports, each with a NAT state of its own.
func (m *model) samples(servers int) Samples {
	s := Samples{Local: localIP}
	s.UDP = m.hear(servers)
	m.reset()
	s.TCP = m.hear(servers)
	s.TCP.Filters = nil
	return s
}

// wantType is what RFC 3489 calls the NAT.
func (m *model) wantType() Type {
	switch {
	case m.none && m.filtering == EndpointIndependent:
		return Open
	case m.none:
		return SymmetricFirewall
	case m.mapping != EndpointIndependent:
		return Symmetric
	case m.filtering == EndpointIndependent:
		return FullCone
	case m.filtering == AddressDependent:
		return Restricted
	}
	return PortRestricted
}
