package natlab

import (
	"encoding/binary"
	"net/netip"
)

// The protocols that a NAT translates, by their IANA numbers.
const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// TCP flags, as they stand in byte 13 of the header (RFC 9293 §3.1).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	_
	flagACK
)

const (
	ipHeader  = 20 // without options, which the lab never writes
	tcpHeader = 20
)

// packet is an IPv4 packet and what its headers say. The bytes and the fields
// are kept in step by the set methods. Everything above this file deals in
// netip addresses; a second address family is a matter of parse and rewrite.
type packet struct {
	b        []byte         // cut to the total length
	proto    uint8          // IANA number
	l4       int            // where the transport header starts in b
	fragment bool           // a piece of a datagram: there may be no ports
	src, dst netip.AddrPort // port 0 where there is none; an echo's id is the port of the side that asks
}

// parse reads the headers of b. It refuses what is not a whole IPv4 packet.
func parse(b []byte) (packet, bool) {
	if len(b) < ipHeader || int(binary.BigEndian.Uint16(b[2:])) > len(b) {
		return packet{}, false
	}
	b = b[:binary.BigEndian.Uint16(b[2:])]
	p, ok := parseHeaders(b)
	if ok && p.proto == protoTCP && !p.fragment && len(b) < p.l4+tcpHeader {
		return packet{}, false
	}
	return p, ok
}

// parseHeaders reads as much as an ICMP error quotes: the IP header and 8
// bytes more (RFC 792).
func parseHeaders(b []byte) (packet, bool) {
	if len(b) < ipHeader || b[0]>>4 != 4 {
		return packet{}, false
	}
	p := packet{b: b, proto: b[9], l4: int(b[0]&15) * 4}
	if p.l4 < ipHeader || len(b) < p.l4 {
		return packet{}, false
	}
	p.fragment = binary.BigEndian.Uint16(b[6:])&0x3fff != 0 // more to come, or an offset
	var from, to uint16
	if t := b[p.l4:]; !p.fragment {
		switch p.proto {
		case protoTCP, protoUDP:
			if len(t) < 8 {
				return packet{}, false
			}
			from, to = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
		case protoICMP:
			if len(t) < 8 {
				return packet{}, false
			}
			switch t[0] {
			case icmpEcho:
				from = binary.BigEndian.Uint16(t[4:])
			case icmpEchoReply:
				to = binary.BigEndian.Uint16(t[4:])
			}
		}
	}
	p.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:])), from)
	p.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), to)
	return p, true
}

// clone copies the bytes, so that the packet outlives the buffer it was read into.
func (p packet) clone() packet {
	p.b = append([]byte(nil), p.b...)
	return p
}

// flags gives the TCP flags, 0 for another protocol or a quoted stump.
func (p *packet) flags() uint8 {
	if p.proto != protoTCP || p.fragment || len(p.b) < p.l4+tcpHeader {
		return 0
	}
	return p.b[p.l4+13]
}

// syn reports whether the packet asks for a new connection.
func (p *packet) syn() bool { return p.flags()&(flagSYN|flagACK|flagRST) == flagSYN }

func (p *packet) ttl() uint8 { return p.b[8] }

// age takes one from the TTL, which must not be 0.
func (p *packet) age() {
	old := [2]byte(p.b[8:10])
	p.b[8]--
	adjust(p.b[10:12], old[:], p.b[8:10])
}

// setSrc rewrites the source address and port, and every checksum over them.
func (p *packet) setSrc(to netip.AddrPort) {
	p.rewrite(12, 0, p.proto == protoICMP && p.b[p.l4] != icmpEcho, to)
	p.src = to
}

// setDst does for the destination what setSrc does for the source.
func (p *packet) setDst(to netip.AddrPort) {
	p.rewrite(16, 2, p.proto == protoICMP && p.b[p.l4] != icmpEchoReply, to)
	p.dst = to
}

// rewrite puts to's address at b[address:] and, unless portless, its port at
// b[l4+port:]. A quoted packet may end before its checksum.
func (p *packet) rewrite(address, port int, portless bool, to netip.AddrPort) {
	was, is := p.b[address:address+4], to.Addr().As4()
	adjust(p.b[10:12], was, is[:])
	sum := p.transportSum()
	if sum != nil && p.proto != protoICMP {
		adjust(sum, was, is[:])
	}
	copy(was, is[:])
	if portless {
		return
	}
	if p.proto == protoICMP {
		port = 4 // the id
	}
	at, value := p.b[p.l4+port:p.l4+port+2], [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	if sum != nil {
		adjust(sum, at, value[:])
		if p.proto == protoUDP && sum[0] == 0 && sum[1] == 0 {
			sum[0], sum[1] = 0xff, 0xff // 0 would mean that there is none (RFC 768)
		}
	}
	copy(at, value[:])
}

// transportSum is where the transport's checksum stands; nil where there is none.
func (p *packet) transportSum() []byte {
	at := p.l4
	switch p.proto {
	case protoICMP:
		at += 2
	case protoTCP:
		at += 16
	case protoUDP:
		at += 6
	}
	if len(p.b) < at+2 || p.proto == protoUDP && p.b[at] == 0 && p.b[at+1] == 0 {
		return nil
	}
	return p.b[at : at+2]
}

// build makes a packet with TTL 64 around a transport segment, whose checksum
// is filled in here.
func build(proto uint8, src, dst netip.Addr, segment []byte) packet {
	b := make([]byte, ipHeader, ipHeader+len(segment))
	b[0] = 4<<4 | ipHeader/4
	binary.BigEndian.PutUint16(b[2:], uint16(ipHeader+len(segment)))
	b[6] = 0x40 // don't fragment
	b[8], b[9] = 64, proto
	from, to := src.As4(), dst.As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	p, _ := parseHeaders(append(b, segment...))
	if sum := p.transportSum(); sum != nil {
		var start uint32
		if proto != protoICMP {
			start = pseudo(b[12:20], proto, len(segment))
		}
		binary.BigEndian.PutUint16(sum, checksum(start, p.b[p.l4:]))
	}
	return p
}

// reset is the RST that answers p, as a closed port sends it (RFC 9293
// §3.10.7.1); false where nothing must be sent.
func (p *packet) reset() (packet, bool) {
	flags := p.flags()
	if p.proto != protoTCP || flags == 0 || flags&flagRST != 0 {
		return packet{}, false
	}
	segment := make([]byte, tcpHeader)
	binary.BigEndian.PutUint16(segment, p.dst.Port())
	binary.BigEndian.PutUint16(segment[2:], p.src.Port())
	t := p.b[p.l4:]
	if flags&flagACK != 0 {
		copy(segment[4:8], t[8:12])
		segment[13] = flagRST
	} else {
		length := len(t) - int(t[12]>>4)*4
		for _, f := range []uint8{flagSYN, flagFIN} {
			if flags&f != 0 {
				length++
			}
		}
		binary.BigEndian.PutUint32(segment[8:], binary.BigEndian.Uint32(t[4:])+uint32(length))
		segment[13] = flagRST | flagACK
	}
	segment[12] = tcpHeader / 4 << 4
	return build(protoTCP, p.dst.Addr(), p.src.Addr(), segment), true
}
