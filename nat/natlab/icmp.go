package natlab

import (
	"encoding/binary"
	"net/netip"
)

// ICMP types and codes (RFC 792, RFC 1812 §5.2.7.1).
const (
	icmpEchoReply    = 0
	icmpUnreachable  = 3
	icmpEcho         = 8
	icmpTimeExceeded = 11

	codePort           = 3
	codeHostProhibited = 10
	codeProhibited     = 13
)

// quoteLimit is how much of a packet an error quotes: the error must stay
// within 576 bytes (RFC 1812 §4.3.2.3).
const quoteLimit = 576 - ipHeader - 8

// isError reports whether p is an ICMP error, which quotes another packet and
// is never answered by an error.
func (p *packet) isError() bool {
	if p.proto != protoICMP || p.fragment {
		return false
	}
	switch p.b[p.l4] {
	case icmpUnreachable, icmpTimeExceeded, 4, 5, 12: // source quench, redirect, parameter problem
		return true
	}
	return false
}

// quoted is the packet that an ICMP error is about. It shares p's bytes.
func (p *packet) quoted() (packet, bool) {
	q, ok := parseHeaders(p.b[p.l4+8:])
	return q, ok && !q.fragment
}

// resum writes an ICMP checksum anew, after the quoted packet was changed.
func (p *packet) resum() {
	t := p.b[p.l4:]
	t[2], t[3] = 0, 0
	binary.BigEndian.PutUint16(t[2:], checksum(0, t))
}

// failure is the ICMP error about p that a router with the address from sends;
// false where RFC 1122 §3.2.2 forbids one.
func (p *packet) failure(kind, code uint8, from netip.Addr) (packet, bool) {
	if p.isError() || p.fragment || p.src.Addr().IsUnspecified() || p.dst.Addr().IsMulticast() {
		return packet{}, false
	}
	segment := make([]byte, 8, 8+quoteLimit)
	segment[0], segment[1] = kind, code
	segment = append(segment, p.b[:min(len(p.b), quoteLimit)]...)
	return build(protoICMP, from, p.src.Addr(), segment), true
}

// echo is the answer to a ping; false where p is none.
func (p *packet) echo() (packet, bool) {
	if p.proto != protoICMP || p.fragment || p.b[p.l4] != icmpEcho {
		return packet{}, false
	}
	segment := append([]byte(nil), p.b[p.l4:]...)
	segment[0], segment[2], segment[3] = icmpEchoReply, 0, 0
	return build(protoICMP, p.dst.Addr(), p.src.Addr(), segment), true
}
