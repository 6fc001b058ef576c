package probe

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v2"
)

// answer is what a server puts into a response.
type answer struct {
	seen    netip.AddrPort // the client, as seen
	origin  netip.AddrPort // where the response comes from; zero to leave it out
	other   netip.AddrPort // the server's other address; zero to leave it out
	callers uint32         // whence the server can call; 0 to leave it out
	plain   bool           // MAPPED-ADDRESS besides XOR-MAPPED-ADDRESS
}

// respond builds the response to the request m: by RFC 8489 and 5780 with a
// magic cookie, by RFC 3489 to a client that sent none.
func respond(m message, a answer) []byte {
	s := begin(m, stun.BindingSuccess)
	if m.old {
		addAddress(s, stun.AttrMappedAddress, a.seen)
		addAddress(s, stun.AttrSourceAddress, a.origin)
		addAddress(s, stun.AttrChangedAddress, a.other)
		return finish(m, s)
	}
	x := stun.XORMappedAddress{IP: a.seen.Addr().AsSlice(), Port: int(a.seen.Port())}
	_ = x.AddToAs(s, stun.AttrXORMappedAddress) // fails only on an IP of odd length
	if a.plain {
		addAddress(s, stun.AttrMappedAddress, a.seen)
	}
	addAddress(s, stun.AttrResponseOrigin, a.origin)
	addAddress(s, stun.AttrOtherAddress, a.other)
	if a.callers != 0 {
		s.Add(attrCall, binary.BigEndian.AppendUint32(nil, a.callers))
	}
	return finish(m, s)
}

// refuse builds an error response. For 420 it names the attributes that were
// not understood (RFC 8489 §14.13: two bytes each, where the library writes four).
func refuse(m message, code stun.ErrorCode, unknown []stun.AttrType) []byte {
	s := begin(m, stun.BindingError)
	_ = code.AddTo(s) // fails only on a code without a default reason
	if code == stun.CodeUnknownAttribute {
		var v []byte
		for _, t := range unknown[:min(len(unknown), 4)] {
			v = binary.BigEndian.AppendUint16(v, uint16(t))
		}
		s.Add(stun.AttrUnknownAttributes, v)
	}
	return finish(m, s)
}

// addResults adds what became of calls to a response.
func addResults(b []byte, results [2]callResult) []byte {
	b = append(b, byte(attrCallResult>>8), byte(attrCallResult&0xff), 0, 4, byte(results[0]), byte(results[1]), 0, 0)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize))
	return b
}

func begin(m message, t stun.MessageType) *stun.Message {
	s := stun.New()
	copy(s.TransactionID[:], m.id[4:])
	s.SetType(t)
	s.WriteHeader()
	return s
}

// finish gives the bytes; a client of RFC 3489 gets all 128 bits of its id back.
func finish(m message, s *stun.Message) []byte {
	copy(s.Raw[4:], m.id[:])
	return s.Raw
}

func addAddress(s *stun.Message, t stun.AttrType, a netip.AddrPort) {
	if a.IsValid() {
		m := stun.MappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}
		_ = m.AddToAs(s, t) // fails only on an IP of odd length
	}
}
