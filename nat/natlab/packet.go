package natlab

import (
	"encoding/binary"
	"net/netip"
)

// The protocols that a box lets through, by their IANA numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	protoFragment = 44 // IPv6's header of fragments
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
	ip6Header = 40 // without extension headers
	tcpHeader = 20
)

// packet is an IPv4 or IPv6 packet and what its headers say. The bytes and the
// fields are kept in step by the set methods. Above this file and icmp.go the
// two families differ in their addresses only.
type packet struct {
	b        []byte         // cut to the total length
	proto    uint8          // IANA number
	l4       int            // where the transport header starts in b
	fragment bool           // a piece of a datagram: there may be no ports
	src, dst netip.AddrPort // port 0 where there is none; an echo's id is the port of the side that asks
}

// parse reads the headers of b. It refuses what is not a whole IP packet.
func parse(b []byte) (packet, bool) {
	length := 0
	switch {
	case len(b) < ipHeader:
		return packet{}, false
	case b[0]>>4 == 6:
		length = ip6Header + int(binary.BigEndian.Uint16(b[4:]))
	default:
		length = int(binary.BigEndian.Uint16(b[2:]))
	}
	if length > len(b) {
		return packet{}, false
	}
	b = b[:length]
	p, ok := parseHeaders(b)
	if ok && p.proto == protoTCP && !p.fragment && len(b) < p.l4+tcpHeader {
		return packet{}, false
	}
	return p, ok
}

// parseHeaders reads as much as an ICMP error quotes: the IP header and 8
// bytes more (RFC 792).
func parseHeaders(b []byte) (packet, bool) {
	p, ok := parseIP(b)
	if !ok {
		return packet{}, false
	}
	var from, to uint16
	if t := b[p.l4:]; !p.fragment {
		switch p.proto {
		case protoTCP, protoUDP:
			if len(t) < 8 {
				return packet{}, false
			}
			from, to = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
		case protoICMP, protoICMPv6:
			if len(t) < 8 {
				return packet{}, false
			}
			switch p.icmp() {
			case echoRequest:
				from = binary.BigEndian.Uint16(t[4:])
			case echoReply:
				to = binary.BigEndian.Uint16(t[4:])
			}
		}
	}
	p.src = netip.AddrPortFrom(p.src.Addr(), from)
	p.dst = netip.AddrPortFrom(p.dst.Addr(), to)
	return p, true
}

// parseIP reads the IP header: addresses without ports.
func parseIP(b []byte) (packet, bool) {
	switch {
	case len(b) >= ipHeader && b[0]>>4 == 4:
		p := packet{b: b, proto: b[9], l4: int(b[0]&15) * 4}
		if p.l4 < ipHeader || len(b) < p.l4 || p.proto == protoICMPv6 {
			return packet{}, false
		}
		p.fragment = binary.BigEndian.Uint16(b[6:])&0x3fff != 0 // more to come, or an offset
		p.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:])), 0)
		p.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), 0)
		return p, true
	case len(b) >= ip6Header && b[0]>>4 == 6:
		src, dst := netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		if src.Is4In6() || dst.Is4In6() || b[6] == protoICMP { // nobody's on a wire
			return packet{}, false
		}
		return packet{
			b: b, proto: b[6], l4: ip6Header, fragment: b[6] == protoFragment,
			src: netip.AddrPortFrom(src, 0), dst: netip.AddrPortFrom(dst, 0),
		}, true
	}
	return packet{}, false
}

// six reports whether the packet is IPv6.
func (p *packet) six() bool { return p.b[0]>>4 == 6 }

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

// lives is where the TTL stands, which IPv6 calls the hop limit.
func (p *packet) lives() *byte {
	if p.six() {
		return &p.b[7]
	}
	return &p.b[8]
}

func (p *packet) ttl() uint8 { return *p.lives() }

// age takes one from the TTL, which must not be 0.
func (p *packet) age() {
	if p.six() {
		p.b[7]--
		return
	}
	old := [2]byte(p.b[8:10])
	p.b[8]--
	adjust(p.b[10:12], old[:], p.b[8:10])
}

// addresses is where the source stands, and behind it the destination.
func (p *packet) addresses() []byte {
	if p.six() {
		return p.b[8:40]
	}
	return p.b[12:20]
}

// setSrc rewrites the source address and port, and every checksum over them.
func (p *packet) setSrc(to netip.AddrPort) {
	both := p.addresses()
	p.rewrite(both[:len(both)/2], 0, p.isICMP() && p.icmp() != echoRequest, to)
	p.src = to
}

// setDst does for the destination what setSrc does for the source.
func (p *packet) setDst(to netip.AddrPort) {
	both := p.addresses()
	p.rewrite(both[len(both)/2:], 2, p.isICMP() && p.icmp() != echoReply, to)
	p.dst = to
}

// rewrite puts to's address at was, which is of the same family, and unless
// portless, its port at b[l4+port:]. A quoted packet may end before its checksum.
func (p *packet) rewrite(was []byte, port int, portless bool, to netip.AddrPort) {
	is := to.Addr().AsSlice()
	if !p.six() {
		adjust(p.b[10:12], was, is)
	}
	sum := p.transportSum()
	if sum != nil && p.proto != protoICMP { // whose sum leaves the addresses out
		adjust(sum, was, is)
	}
	copy(was, is)
	if portless {
		return
	}
	if p.isICMP() {
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
	case protoICMP, protoICMPv6:
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
// is filled in here. proto is protoICMP in both families.
func build(proto uint8, src, dst netip.Addr, segment []byte) packet {
	var b []byte
	if src.Is4() {
		b = make([]byte, ipHeader, ipHeader+len(segment))
		b[0] = 4<<4 | ipHeader/4
		binary.BigEndian.PutUint16(b[2:], uint16(ipHeader+len(segment)))
		b[6] = 0x40 // don't fragment
		b[8], b[9] = 64, proto
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	} else {
		if proto == protoICMP {
			proto = protoICMPv6
		}
		b = make([]byte, ip6Header, ip6Header+len(segment))
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(len(segment)))
		b[6], b[7] = proto, 64
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
	}
	p, _ := parseHeaders(append(b, segment...))
	if sum := p.transportSum(); sum != nil {
		binary.BigEndian.PutUint16(sum, checksum(p.pseudo(), p.b[p.l4:]))
	}
	return p
}

// pseudo is the sum of what the transport's checksum covers besides the segment.
func (p *packet) pseudo() uint32 {
	if p.proto == protoICMP {
		return 0
	}
	return pseudo(p.addresses(), p.proto, len(p.b)-p.l4)
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
