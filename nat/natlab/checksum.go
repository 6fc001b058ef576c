package natlab

import "encoding/binary"

// checksum is the internet checksum (RFC 1071) of b, started from sum.
func checksum(sum uint32, b []byte) uint16 {
	for len(b) >= 2 {
		sum += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return ^fold(sum)
}

// fold adds the carries back into 16 bits.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// adjust mends the checksum in field after the bytes from have become to
// (RFC 1624 equation 3). Both have the same even length.
func adjust(field, from, to []byte) {
	sum := uint32(^binary.BigEndian.Uint16(field))
	for i := 0; i < len(from); i += 2 {
		sum += uint32(^binary.BigEndian.Uint16(from[i:])) + uint32(binary.BigEndian.Uint16(to[i:]))
	}
	binary.BigEndian.PutUint16(field, ^fold(sum))
}

// pseudo sums the pseudo header of TCP and UDP (RFC 9293 §3.1), and in IPv6 of
// ICMP too (RFC 8200 §8.1), over the addresses as they stand in the IP header.
func pseudo(addresses []byte, proto uint8, length int) uint32 {
	sum := uint32(proto) + uint32(length)
	for i := 0; i < len(addresses); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(addresses[i:]))
	}
	return sum
}
