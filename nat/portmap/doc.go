// Package portmap asks the router for a port: it finds out which of PCP
// (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD 1 and 2 the gateway speaks, has
// it forward one TCP port, or open a pinhole for IPv6, and keeps that until
// Close.
//
// All protocols are discovered at once, and discovery changes nothing; those
// that answer are then asked for the mapping one after another, in the order
// of their answers, so that never two of them hold the same port. Discover
// stops there, and only tells what the gateway speaks.
//
// # What a router may do to us
//
// Nothing but the gateway is ever spoken to: the one datagram that goes
// elsewhere is the search of UPnP, to its multicast group, and of its answers
// only the gateway's own is read. A description is fetched from the gateway's
// address alone, whatever URL the answer names, without following redirects.
// A gateway must be private, link-local or a ULA. What comes back is bounded
// in size, in time and in depth, and an external address that the internet
// cannot reach is reported as ErrUseless, not used.
package portmap
