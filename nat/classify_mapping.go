package nat

import (
	"math"
	"net/netip"
	"slices"
)

// MappingVerdict says how mappings depend on the destination.
type MappingVerdict struct {
	Behavior   Behavior
	Confidence float64 // 0 to 1
	Translated bool    // false where most servers saw our own endpoint: no NAT
	// External is where the port that most servers saw is mapped, where the
	// mapping does not depend on the server; else zero.
	External netip.AddrPort
	Lying    []netip.AddrPort // servers that contradict most of the others
	// Compared tells that one server IP was asked at two ports, which alone
	// tells address-dependent from address- and port-dependent.
	Compared bool
}

// ClassifyMapping judges the mapping behaviour (RFC 5780 §4.3, RFC 4787 §4.1)
// from what several servers saw of one local port. Other local ports in ms are
// left aside. Every server IP has one vote: fewer than half of them may lie or
// be lost. With fewer than two server IPs the behaviour stays unknown, unless
// there is no NAT or two ports of the one server disagree.
func ClassifyMapping(ms []Mapping) MappingVerdict {
	ms = clean(ms)
	base := busiest(ms)
	if len(base) == 0 {
		return MappingVerdict{}
	}
	byIP := map[netip.Addr][]Mapping{}
	voters := map[netip.AddrPort]map[netip.Addr]bool{}
	for _, m := range base {
		ip := m.Server.Addr()
		byIP[ip] = append(byIP[ip], m)
		if voters[m.External] == nil {
			voters[m.External] = map[netip.Addr]bool{}
		}
		voters[m.External][ip] = true
	}
	top := base[0].External // the oldest of those with the most votes
	for _, m := range base {
		if len(voters[m.External]) > len(voters[top]) {
			top = m.External
		}
	}
	votes, all := len(voters[top]), len(byIP)
	if all == 1 {
		return oneWitness(base)
	}
	if votes < 2 || 2*votes <= all {
		return dependent(base, byIP, votes, strangers(ms))
	}
	v := MappingVerdict{
		Behavior:   EndpointIndependent,
		Confidence: float64(votes) / float64(all) * (1 - math.Pow(0.5, float64(votes))),
		Translated: top != base[0].Local,
		External:   top,
	}
	honest := map[netip.Addr][]Mapping{}
	for ip := range voters[top] {
		honest[ip] = byIP[ip]
	}
	for _, m := range base {
		if !voters[top][m.Server.Addr()] {
			v.Lying = append(v.Lying, m.Server)
		}
	}
	agree, differ := comparePorts(honest)
	v.Compared = agree+differ > 0
	if differ > agree {
		// The same for every server on one port, another one on other
		// ports: the mapping depends on the port that is dialled.
		return MappingVerdict{Behavior: AddressAndPortDependent, Confidence: 0.5, Translated: true, Compared: true, Lying: v.Lying}
	}
	return v
}

// oneWitness judges from a single server IP.
func oneWitness(base []Mapping) MappingVerdict {
	v := MappingVerdict{Translated: base[0].Translated(), Compared: len(base) > 1}
	for _, m := range base[1:] {
		if m.External != base[0].External {
			return MappingVerdict{Behavior: AddressAndPortDependent, Confidence: 0.6, Translated: true, Compared: true}
		}
	}
	v.External = base[0].External
	if !v.Translated {
		v.Behavior, v.Confidence = EndpointIndependent, 0.5
	}
	return v
}

// dependent judges a mapping that no majority of servers saw alike. strange
// are the servers that are known to lie by other evidence.
func dependent(base []Mapping, byIP map[netip.Addr][]Mapping, votes int, strange map[netip.AddrPort]bool) MappingVerdict {
	v := MappingVerdict{Behavior: AddressAndPortDependent, Translated: true}
	agree, differ := comparePorts(byIP)
	v.Compared = agree+differ > 0
	if agree > differ {
		v.Behavior = AddressDependent
	}
	all := len(byIP)
	v.Confidence = 1 - math.Pow(0.5, float64(all-1))
	if v.Compared && differ > agree {
		v.Confidence = 1 - math.Pow(0.5, float64(all))
	}
	if votes > 1 {
		v.Confidence = min(v.Confidence, sureEnough)
	}
	for _, m := range base {
		if strange[m.Server] {
			v.Lying = append(v.Lying, m.Server)
		}
	}
	return v
}

// comparePorts counts the server IPs of which all ports saw the same endpoint,
// and those of which they did not.
func comparePorts(byIP map[netip.Addr][]Mapping) (agree, differ int) {
	for _, ms := range byIP {
		if len(ms) < 2 {
			continue
		}
		same := !slices.ContainsFunc(ms, func(m Mapping) bool { return m.External != ms[0].External })
		if same {
			agree++
		} else {
			differ++
		}
	}
	return agree, differ
}

// strangers are servers that never saw the external address which at least two
// thirds of the server IPs, and two of them, did see.
func strangers(ms []Mapping) map[netip.AddrPort]bool {
	all, voters := map[netip.Addr]bool{}, map[netip.Addr]map[netip.Addr]bool{}
	for _, m := range ms {
		a := m.External.Addr()
		if voters[a] == nil {
			voters[a] = map[netip.Addr]bool{}
		}
		voters[a][m.Server.Addr()] = true
		all[m.Server.Addr()] = true
	}
	out := map[netip.AddrPort]bool{}
	seen := ranked(ms)
	if len(seen) < 2 || len(voters[seen[0]]) < 2 || 3*len(voters[seen[0]]) < 2*len(all) {
		return out
	}
	for _, m := range ms {
		if !voters[seen[0]][m.Server.Addr()] {
			out[m.Server] = true
		}
	}
	return out
}

// busiest gives the mappings of the local port that most server IPs saw; of
// several, the one with most servers, then the oldest.
func busiest(ms []Mapping) []Mapping {
	type tally struct {
		ips  map[netip.Addr]bool
		seen []Mapping
	}
	by := map[netip.AddrPort]*tally{}
	var best *tally
	for _, m := range ms {
		if by[m.Local] == nil {
			by[m.Local] = &tally{ips: map[netip.Addr]bool{}}
		}
		by[m.Local].ips[m.Server.Addr()] = true
		by[m.Local].seen = append(by[m.Local].seen, m)
	}
	for _, m := range ms { // in order, so that the choice does not depend on the map's
		t := by[m.Local]
		if best == nil || len(t.ips) > len(best.ips) ||
			len(t.ips) == len(best.ips) && len(t.seen) > len(best.seen) {
			best = t
		}
	}
	if best == nil {
		return nil
	}
	return best.seen
}

// ranked gives the external addresses in ms, those that most server IPs saw
// first.
func ranked(ms []Mapping) []netip.Addr {
	voters := map[netip.Addr]map[netip.Addr]bool{}
	var out []netip.Addr
	for _, m := range ms {
		a := m.External.Addr()
		if voters[a] == nil {
			voters[a] = map[netip.Addr]bool{}
			out = append(out, a)
		}
		voters[a][m.Server.Addr()] = true
	}
	slices.SortStableFunc(out, func(a, b netip.Addr) int { return len(voters[b]) - len(voters[a]) })
	return out
}
