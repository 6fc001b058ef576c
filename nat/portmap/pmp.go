package portmap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// NAT-PMP (RFC 6886), big-endian, over UDP to port 5351 of the gateway:
//
//	address   version 0, opcode 0                                     2 bytes
//	answer    0, 128, result(2), epoch(4), external IPv4(4)          12 bytes
//	map TCP   0, 2, reserved(2), internal(2), external(2), life(4)   12 bytes
//	answer    0, 130, result(2), epoch(4), internal(2), external(2), life(4)
//
// A lifetime of 0 s deletes (§3.4).
const (
	pmpAddress, pmpMapTCP = 0, 2
	response              = 128 // added to the opcode, in PCP too
)

func pmpAddressRequest() []byte { return []byte{0, pmpAddress} }

func pmpMapRequest(internal, external uint16, life time.Duration) []byte {
	b := make([]byte, 12)
	b[1] = pmpMapTCP
	binary.BigEndian.PutUint16(b[4:], internal)
	binary.BigEndian.PutUint16(b[6:], external)
	binary.BigEndian.PutUint32(b[8:], seconds(life))
	return b
}

// pmpAnswer is either answer; fields that it has not are zero.
type pmpAnswer struct {
	epoch    uint32 // seconds since the router started
	address  netip.Addr
	internal uint16
	external uint16
	life     time.Duration
}

// parsePMP reads the answer to a request with that opcode.
func parsePMP(b []byte, opcode byte) (pmpAnswer, error) {
	if len(b) < 8 || b[1] != opcode+response {
		return pmpAnswer{}, errForeign
	}
	result := binary.BigEndian.Uint16(b[2:])
	if b[0] != 0 || result != 0 {
		return pmpAnswer{}, &RefusedError{NATPMP, int(result), pmpResult(result)}
	}
	a := pmpAnswer{epoch: binary.BigEndian.Uint32(b[4:])}
	switch {
	case opcode == pmpAddress && len(b) == 12:
		a.address = netip.AddrFrom4([4]byte(b[8:12]))
	case opcode == pmpMapTCP && len(b) == 16:
		a.internal = binary.BigEndian.Uint16(b[8:])
		a.external = binary.BigEndian.Uint16(b[10:])
		a.life = time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Second
	default:
		return pmpAnswer{}, fmt.Errorf("NAT-PMP answer of %d bytes: %w", len(b), errForeign)
	}
	return a, nil
}

// pmpResult names a result code (RFC 6886 §3.5).
func pmpResult(code uint16) string {
	names := [...]string{"", "unsupported version", "not authorized", "network failure", "out of resources", "unsupported opcode"}
	if int(code) < len(names) {
		return names[code]
	}
	return "unknown result"
}

// seconds is d as both protocols write it.
func seconds(d time.Duration) uint32 { return uint32(min(max(d/time.Second, 0), 1<<31)) }
