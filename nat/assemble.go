package nat

import (
	"cmp"
	"net/netip"
	"slices"
)

// Assemble makes the report of what a probe has heard.
//
// Type and Delta describe TCP. How TCP is filtered only servers of our own can
// help to see; without them UDP's filtering stands for it; where that is
// unknown too, the narrower of the types that are possible is named, with less
// confidence. Where nobody answered over TCP, UDP is the guess for it. Delta
// is always one that may stand in an address: with too few samples, Random.
func Assemble(s Samples) Report {
	r := Report{Local: s.Local, Took: s.Took}
	udpMap, udpDelta, filter := judge(&r.UDP, s.UDP, DeltaVerdict{})
	tcpMap, _, tcpFilter := judge(&r.TCP, s.TCP, udpDelta)

	m, answered := tcpMap, r.TCP.Answered > 0
	switch {
	case !answered && r.UDP.Answered > 0:
		guess := r.UDP
		guess.Asked, guess.Answered, guess.Samples, guess.RTT = s.TCP.Asked, 0, nil, 0
		guess.Guess, guess.Confidence = true, r.UDP.Confidence/2
		r.TCP, m, r.Guess = guess, udpMap, true
	case answered:
		filter = filterOfTCP(tcpFilter, filter)
		r.TCP.Filtering, r.Refusal, r.Hairpin = filter.Behavior, filter.Refusal, s.Hairpin
		m = borrow(&r.TCP, tcpMap, udpMap)
		if len(tcpMap.Lying) > 0 && udpMap.Behavior != tcpMap.Behavior {
			// Whoever is said to lie may be the honest one, of whom a counter
			// and a liar who adds one make a minority.
			m.Confidence *= 0.8
			r.TCP.Confidence = min(r.TCP.Confidence, m.Confidence)
		}
	}
	r.Externals = ranked(slices.Concat(honest(s.TCP.Mappings, r.TCP.Lying), honest(s.UDP.Mappings, r.UDP.Lying)))
	if len(r.Externals) > 0 {
		r.External = r.Externals[0]
	}
	r.Delta = r.TCP.Delta
	if answered && s.WarmPort != 0 {
		r.Warm, r.WarmPort = warm(s, tcpMap), s.WarmPort
	}
	r.Type, r.Confidence = typeOf(m, filter, answered || r.UDP.Answered > 0)
	if r.Hops = s.Hops; r.UDP.Answered > 0 { // else the walk may have ended at what blocks UDP
		r.Depth = Depth(r.Type, s.Hops)
	}
	switch {
	case r.Type == Blocked, r.Type == Open, r.Type == SymmetricFirewall:
		r.Delta = Delta{Kind: NotApplicable}
	case r.Delta.Kind == DeltaUnknown:
		r.Delta = Delta{Kind: Random}
		r.Confidence /= 2
	}
	if r.Guess {
		r.Confidence /= 2
	}
	return r
}

// honest leaves out what liars have said.
func honest(ms []Mapping, lying []netip.AddrPort) []Mapping {
	return slices.DeleteFunc(clean(ms), func(m Mapping) bool { return slices.Contains(lying, m.Server) })
}

// judge fills in what one transport shows by itself, but for how ports move,
// for which the other may be asked.
func judge(f *Finding, h Heard, other DeltaVerdict) (MappingVerdict, DeltaVerdict, FilteringVerdict) {
	ms := clean(h.Mappings)
	m := ClassifyMapping(ms)
	d := classifyDelta(ms, m, other)
	filter := ClassifyFiltering(h.Filters)
	*f = Finding{
		Answered: servers(ms), Asked: max(h.Asked, servers(ms)),
		Mapping: m.Behavior, Filtering: filter.Behavior, Delta: d.Delta,
		Ports: d.Ports, Samples: ms, Confidence: min(m.Confidence, d.Confidence), Lying: m.Lying,
	}
	for i, s := range ms {
		f.Rewritten = f.Rewritten || s.Rewritten
		if i == 0 || s.RTT < f.RTT {
			f.RTT = s.RTT
		}
	}
	return m, d, filter
}

// borrow completes what TCP shows with what UDP shows: one NAT seldom has two
// minds. It gives the mapping verdict to go by.
func borrow(f *Finding, tcp, udp MappingVerdict) MappingVerdict {
	switch {
	case tcp.Behavior == BehaviorUnknown && udp.Behavior != BehaviorUnknown:
		tcp.Behavior, tcp.Confidence = udp.Behavior, udp.Confidence/2
	case tcp.Behavior == AddressAndPortDependent && !tcp.Compared && udp.Compared && udp.Behavior == AddressDependent:
		tcp.Behavior = AddressDependent
	}
	f.Mapping = tcp.Behavior
	return tcp
}

// warm finds where the node's own port is mapped. Only a mapping that serves
// every destination is worth telling.
func warm(s Samples, m MappingVerdict) netip.AddrPort {
	if m.Behavior != EndpointIndependent && m.Behavior != BehaviorUnknown {
		return netip.AddrPort{}
	}
	var seen []netip.AddrPort
	count := map[netip.AddrPort]int{}
	for _, c := range clean(s.TCP.Mappings) {
		if c.Local.Port() == s.WarmPort {
			seen = append(seen, c.External)
			count[c.External]++
		}
	}
	slices.SortStableFunc(seen, func(a, b netip.AddrPort) int { return cmp.Compare(count[b], count[a]) })
	if len(seen) == 0 {
		return netip.AddrPort{}
	}
	return seen[0]
}

// typeOf names the type, in the words of RFC 3489 §5.
func typeOf(m MappingVerdict, f FilteringVerdict, answered bool) (Type, float64) {
	if !answered {
		return Blocked, 1
	}
	if m.Behavior == AddressDependent || m.Behavior == AddressAndPortDependent {
		return Symmetric, m.Confidence
	}
	confidence := m.Confidence
	if m.Behavior == BehaviorUnknown {
		confidence = 0.2
	}
	if !m.Translated {
		if f.Behavior == EndpointIndependent {
			return Open, min(confidence, f.Confidence)
		}
		if f.Behavior == BehaviorUnknown {
			return SymmetricFirewall, min(confidence, 0.4)
		}
		return SymmetricFirewall, min(confidence, f.Confidence)
	}
	switch f.Behavior {
	case EndpointIndependent:
		return FullCone, min(confidence, f.Confidence)
	case AddressDependent:
		return Restricted, min(confidence, f.Confidence)
	case AddressAndPortDependent:
		return PortRestricted, min(confidence, f.Confidence)
	}
	return PortRestricted, min(confidence, 0.4)
}
