package natlab

import (
	"encoding/binary"
	"net/netip"
)

// message is a kind of ICMP message that both families have.
type message uint8

const (
	otherMessage message = iota
	echoRequest
	echoReply
	unreachable
	timeExceeded
)

// The types of the messages above (RFC 792, RFC 4443).
var (
	icmpTypes   = map[message]uint8{echoReply: 0, unreachable: 3, echoRequest: 8, timeExceeded: 11}
	icmpv6Types = map[message]uint8{unreachable: 1, timeExceeded: 3, echoRequest: 128, echoReply: 129}
)

// reason is why something is unreachable, as the two families have it.
type reason struct{ v4, v6 uint8 }

// Codes of unreachable (RFC 792, RFC 1812 §5.2.7.1; RFC 4443 §3.1).
var (
	noPort         = reason{3, 4}
	prohibited     = reason{13, 1}
	hostProhibited = reason{10, 3} // IPv6 has address unreachable for it
)

// quoteLimit is how much of an IPv4 packet an error quotes, which must stay
// within 576 bytes (RFC 1812 §4.3.2.3); quoteLimit6 is the same for IPv6 and
// its least MTU (RFC 4443 §2.4 c).
const (
	quoteLimit  = 576 - ipHeader - 8
	quoteLimit6 = 1280 - ip6Header - 8
)

func (p *packet) isICMP() bool { return p.proto == protoICMP || p.proto == protoICMPv6 }

// icmp is what an ICMP packet, which is no fragment, says.
func (p *packet) icmp() message {
	kind := p.b[p.l4]
	if p.six() {
		switch kind {
		case 1:
			return unreachable
		case 3:
			return timeExceeded
		case 128:
			return echoRequest
		case 129:
			return echoReply
		}
		return otherMessage
	}
	switch kind {
	case 0:
		return echoReply
	case 3:
		return unreachable
	case 8:
		return echoRequest
	case 11:
		return timeExceeded
	}
	return otherMessage
}

// icmpType is the number of a message in a packet's family.
func (p *packet) icmpType(m message) uint8 {
	if p.six() {
		return icmpv6Types[m]
	}
	return icmpTypes[m]
}

// isError reports whether p is an ICMP error, which quotes another packet and
// is never answered by an error.
func (p *packet) isError() bool {
	if !p.isICMP() || p.fragment {
		return false
	}
	kind := p.b[p.l4]
	if p.six() {
		return kind < 128 // RFC 4443 §2.1
	}
	switch kind {
	case 3, 4, 5, 11, 12: // 4, 5, 12: source quench, redirect, parameter problem
		return true
	}
	return false
}

// quoted is the packet that an ICMP error is about. It shares p's bytes.
func (p *packet) quoted() (packet, bool) {
	q, ok := parseHeaders(p.b[p.l4+8:])
	return q, ok && !q.fragment && q.six() == p.six()
}

// resum writes an ICMP checksum anew, after the quoted packet was changed.
func (p *packet) resum() {
	t := p.b[p.l4:]
	t[2], t[3] = 0, 0
	binary.BigEndian.PutUint16(t[2:], checksum(p.pseudo(), t))
}

// expired is the error about p whose TTL has run out at a router with the
// address from.
func (p *packet) expired(from netip.Addr) (packet, bool) {
	return p.failure(timeExceeded, reason{}, from)
}

// failure is the ICMP error about p that a router with the address from sends;
// false where RFC 1122 §3.2.2 or RFC 4443 §2.4 forbids one.
func (p *packet) failure(m message, why reason, from netip.Addr) (packet, bool) {
	if p.isError() || p.fragment || p.src.Addr().IsUnspecified() || p.dst.Addr().IsMulticast() || from.Is4() == p.six() {
		return packet{}, false
	}
	limit, code := quoteLimit, why.v4
	if p.six() {
		limit, code = quoteLimit6, why.v6
	}
	segment := make([]byte, 8, 8+limit)
	segment[0], segment[1] = p.icmpType(m), code
	segment = append(segment, p.b[:min(len(p.b), limit)]...)
	return build(protoICMP, from, p.src.Addr(), segment), true
}

// echo is the answer to a ping; false where p is none.
func (p *packet) echo() (packet, bool) {
	if !p.isICMP() || p.fragment || p.icmp() != echoRequest {
		return packet{}, false
	}
	segment := append([]byte(nil), p.b[p.l4:]...)
	segment[0], segment[2], segment[3] = p.icmpType(echoReply), 0, 0
	return build(protoICMP, p.dst.Addr(), p.src.Addr(), segment), true
}
