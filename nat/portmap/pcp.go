package portmap

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// PCP (RFC 6887), big-endian, over UDP to port 5351 of the gateway:
//
//	header    version 2, R + opcode, reserved(2), lifetime(4), client(16)    24 bytes
//	answer    version 2, R + opcode, 0, result, lifetime(4), epoch(4), 0(12)
//	MAP adds  nonce(12), protocol, 0(3), internal(2), external(2), address(16)
//
// A lifetime of 0 s deletes (§15.1). The nonce proves whose mapping it is.
const (
	pcpVersion            = 2
	pcpAnnounce, pcpMap   = 0, 1
	pcpHeader, pcpMapSize = 24, 60
	protocolTCP           = 6
	notAuthorized         = 2 // a result (§7.4)
)

type nonce [12]byte

func pcpRequest(opcode byte, client netip.Addr, life time.Duration, size int) []byte {
	b := make([]byte, size)
	b[0], b[1] = pcpVersion, opcode
	binary.BigEndian.PutUint32(b[4:], seconds(life))
	a := client.As16()
	copy(b[8:], a[:])
	return b
}

func pcpAnnounceRequest(client netip.Addr) []byte {
	return pcpRequest(pcpAnnounce, client, 0, pcpHeader)
}

// pcpMapRequest asks for external, of which an unspecified address or port 0
// leaves the choice to the router.
func pcpMapRequest(client netip.AddrPort, external netip.AddrPort, n nonce, life time.Duration) []byte {
	b := pcpRequest(pcpMap, client.Addr(), life, pcpMapSize)
	copy(b[24:], n[:])
	b[36] = protocolTCP
	binary.BigEndian.PutUint16(b[40:], client.Port())
	binary.BigEndian.PutUint16(b[42:], external.Port())
	wanted := netip.IPv6Unspecified().As16()
	switch {
	case external.Addr().IsValid():
		wanted = external.Addr().As16()
	case client.Addr().Is4():
		wanted = netip.IPv4Unspecified().As16() // §5: ::ffff:0.0.0.0
	}
	copy(b[44:], wanted[:])
	return b
}

// pcpAnswer is an answer; what follows epoch is of MAP only.
type pcpAnswer struct {
	epoch    uint32
	life     time.Duration
	nonce    nonce
	internal uint16
	external netip.AddrPort
}

// parsePCP reads the answer to a request with that opcode.
func parsePCP(b []byte, opcode byte) (pcpAnswer, error) {
	if len(b) >= 4 && b[0] == 0 && b[1]&response != 0 { // RFC 6886 §3.5, RFC 6887 §9
		return pcpAnswer{}, &RefusedError{PCP, unsupportedVersion, "it speaks NAT-PMP only"}
	}
	if len(b) < pcpHeader || len(b) > 1100 || len(b)%4 != 0 || b[1] != opcode+response {
		return pcpAnswer{}, errForeign
	}
	if b[0] != pcpVersion || b[3] != 0 {
		return pcpAnswer{}, &RefusedError{PCP, int(b[3]), pcpResult(b[3])}
	}
	a := pcpAnswer{
		life:  time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second,
		epoch: binary.BigEndian.Uint32(b[8:]),
	}
	if opcode != pcpMap {
		return a, nil
	}
	if len(b) < pcpMapSize || b[36] != protocolTCP {
		return pcpAnswer{}, errForeign
	}
	a.nonce = nonce(b[24:36])
	a.internal = binary.BigEndian.Uint16(b[40:])
	a.external = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[44:60])).Unmap(), binary.BigEndian.Uint16(b[42:]))
	return a, nil
}

// pcpResult names a result code (RFC 6887 §7.4).
func pcpResult(code byte) string {
	names := [...]string{"", "unsupported version", "not authorized", "malformed request", "unsupported opcode",
		"unsupported option", "malformed option", "network failure", "out of resources", "unsupported protocol",
		"quota exceeded", "external address not to be had", "another NAT stands before the gateway", "too many peers"}
	if int(code) < len(names) {
		return names[code]
	}
	return "unknown result"
}
