package nat

import (
	"net/netip"
	"slices"
	"time"
)

// Samples is everything that a probe has heard by some moment, and all that
// Assemble needs.
type Samples struct {
	Local    netip.Addr // the interface's own address
	WarmPort uint16     // the node's own TCP port; 0 if it has none
	UDP, TCP Heard
	Hairpin  Answer       // whether two of our TCP ports met at their external endpoints
	Hops     []netip.Addr // the first routers of the way out; the zero Addr is a silent one
	Took     time.Duration
}

// Heard is what a probe has heard over one transport.
type Heard struct {
	Asked    int       // servers that were asked
	Mappings []Mapping // in any order
	Filters  []Filtered
}

// Filtered is the outcome of one request that asked a server to answer from
// another address (RFC 5780 §4.4), or over TCP to call from there, sent from a
// socket that had written to that server and to nobody else.
type Filtered struct {
	Server     netip.AddrPort // that was asked
	ChangeIP   bool           // to answer from another IP (and port)
	ChangePort bool           // to answer from another port
	From       netip.AddrPort // where the answer came from; zero for silence
	// Alive tells that the address from which the answer should have come
	// does answer when it is written to, so that silence means a filter; over
	// TCP, that the server says that it has called.
	Alive bool
	// Refusal is what the server met when it called and did not get in; TCP only.
	Refusal Refusal
}

// clean gives the valid ones of ms with IPv4 addresses unmapped, in the order
// in which they were sent, one for each pair of local port and server.
func clean(ms []Mapping) []Mapping {
	type pair struct{ local, server netip.AddrPort }
	out := make([]Mapping, 0, len(ms))
	for _, m := range ms {
		if !m.Valid() {
			continue
		}
		m.Local, m.External, m.Server = unmap(m.Local), unmap(m.External), unmap(m.Server)
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b Mapping) int { return a.Sent.Compare(b.Sent) })
	seen := make(map[pair]bool, len(out))
	return slices.DeleteFunc(out, func(m Mapping) bool {
		p := pair{m.Local, m.Server}
		dup := seen[p]
		seen[p] = true
		return dup
	})
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// servers counts the different servers in ms.
func servers(ms []Mapping) int {
	seen := map[netip.AddrPort]bool{}
	for _, m := range ms {
		seen[m.Server] = true
	}
	return len(seen)
}
