package probe

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"testing/iotest"

	"github.com/pion/stun/v2"
)

// raw builds a message of a type with attributes, each of type and value.
func raw(t stun.MessageType, attrs ...stun.RawAttribute) []byte {
	m := stun.New()
	m.TransactionID = [12]byte{1, 2, 3}
	m.SetType(t)
	m.WriteHeader()
	for _, a := range attrs {
		m.Add(a.Type, a.Value)
	}
	return m.Raw
}

func attr(t stun.AttrType, v ...byte) stun.RawAttribute { return stun.RawAttribute{Type: t, Value: v} }

func TestParse(t *testing.T) {
	plain := attr(stun.AttrMappedAddress, 0, 1, 0x1f, 0x90, 192, 0, 2, 1) // 192.0.2.1:8080
	xored := func(a string) stun.RawAttribute {
		e := netip.MustParseAddrPort(a)
		m := stun.New()
		m.TransactionID = [12]byte{1, 2, 3}
		m.WriteHeader()
		_ = stun.XORMappedAddress{IP: e.Addr().AsSlice(), Port: int(e.Port())}.AddToAs(m, stun.AttrXORMappedAddress)
		return m.Attributes[0]
	}
	cut := func(b []byte, n int) []byte { return b[:n] }
	said := func(b []byte, n uint16) []byte { binary.BigEndian.PutUint16(b[2:], n); return b }
	for _, c := range []struct {
		name      string
		in        []byte
		ok        bool
		mapped    string
		rewritten bool
	}{
		{"xor", raw(stun.BindingSuccess, xored("192.0.2.1:8080")), true, "192.0.2.1:8080", false},
		{"xor of IPv6", raw(stun.BindingSuccess, xored("[2001:db8::7]:99")), true, "[2001:db8::7]:99", false},
		{"plain", raw(stun.BindingSuccess, plain), true, "192.0.2.1:8080", false},
		{"both alike", raw(stun.BindingSuccess, plain, xored("192.0.2.1:8080")), true, "192.0.2.1:8080", false},
		{"both, one rewritten", raw(stun.BindingSuccess, plain, xored("203.0.113.9:8080")), true, "203.0.113.9:8080", true},
		{"the first of two counts", raw(stun.BindingSuccess, xored("192.0.2.1:1"), xored("192.0.2.1:2")), true, "192.0.2.1:1", false},
		{"no attributes", raw(stun.BindingRequest), true, "invalid AddrPort", false},
		{"empty xor, which panics the library", raw(stun.BindingSuccess, attr(stun.AttrXORMappedAddress)), false, "", false},
		{"one byte of xor", raw(stun.BindingSuccess, attr(stun.AttrXORMappedAddress, 0)), false, "", false},
		{"xor of a family without name", raw(stun.BindingSuccess, attr(stun.AttrXORMappedAddress, 0, 3, 0, 1, 1, 2, 3, 4)), false, "", false},
		{"IPv6 of four bytes", raw(stun.BindingSuccess, attr(stun.AttrXORMappedAddress, 0, 2, 0, 1, 1, 2, 3, 4)), false, "", false},
		{"empty plain", raw(stun.BindingSuccess, attr(stun.AttrMappedAddress)), false, "", false},
		{"change request of two bytes", raw(stun.BindingRequest, attr(stun.AttrChangeRequest, 0, 6)), false, "", false},
		{"error code of one byte", raw(stun.BindingError, attr(stun.AttrErrorCode, 4)), false, "", false},
		{"empty", nil, false, "", false},
		{"short header", cut(raw(stun.BindingRequest), 19), false, "", false},
		{"cut off", cut(raw(stun.BindingSuccess, plain), 28), false, "", false},
		{"says more", said(raw(stun.BindingRequest), 4), false, "", false},
		{"says an odd length", said(append(raw(stun.BindingRequest), 0, 0), 2), false, "", false},
		{"no STUN", []byte("GET / HTTP/1.1\r\n\r\n12345"), false, "", false},
		{"too long", raw(stun.BindingRequest, attr(0x8022, make([]byte, 2000)...)), false, "", false},
		{"a login is passed over", raw(stun.BindingRequest, attr(stun.AttrUsername, 'a')), true, "invalid AddrPort", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := parse(c.in)
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if c.ok && (m.mapped.String() != c.mapped || m.rewritten != c.rewritten) {
				t.Errorf("mapped %v, rewritten %v", m.mapped, m.rewritten)
			}
		})
	}
}

func TestReadMessageIsFramedByItsHeader(t *testing.T) {
	id, req := request(changePort)
	stream := append(append([]byte(nil), req...), respond(message{id: id}, answer{seen: netip.MustParseAddrPort("192.0.2.1:8080")})...)
	r := iotest.OneByteReader(bytes.NewReader(stream))
	m, err := readMessage(r)
	if err != nil || m.change != changePort {
		t.Fatalf("%v, %+v", err, m)
	}
	if m, err = readMessage(r); err != nil || m.answers(id) != nil || m.mapped.Port() != 8080 {
		t.Fatalf("%v, %+v", err, m)
	}
	if _, err = readMessage(r); err != io.EOF {
		t.Errorf("%v at the end", err)
	}
	long := append([]byte(nil), req[:headerSize]...)
	binary.BigEndian.PutUint16(long[2:], 0xfffc)
	if _, err := readMessage(bytes.NewReader(long)); err != errNotSTUN {
		t.Errorf("a message of 64 kB: %v", err)
	}
}

func TestAnswersTellsWhatDoesNotHelp(t *testing.T) {
	id, _ := request(0)
	seen := netip.MustParseAddrPort("192.0.2.1:8080")
	good := message{id: id, class: stun.ClassSuccessResponse, method: stun.MethodBinding, mapped: seen}
	if err := good.answers(id); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*message){
		"another id":      func(m *message) { m.id[5]++ },
		"a request":       func(m *message) { m.class = stun.ClassRequest },
		"an error":        func(m *message) { m.class = stun.ClassErrorResponse },
		"allocate":        func(m *message) { m.method = stun.MethodAllocate },
		"no address":      func(m *message) { m.mapped = netip.AddrPort{} },
		"port 0":          func(m *message) { m.mapped = netip.AddrPortFrom(seen.Addr(), 0) },
		"address 0.0.0.0": func(m *message) { m.mapped = netip.MustParseAddrPort("0.0.0.0:1") },
	} {
		bad := good
		spoil(&bad)
		if bad.answers(id) == nil {
			t.Errorf("%s passes as an answer", name)
		}
	}
}

// FuzzParse holds parse, and all that is done with a message, not to panic,
// and streams and datagrams to be read alike.
func FuzzParse(f *testing.F) {
	seeds := [][]byte{
		raw(stun.BindingSuccess, attr(stun.AttrXORMappedAddress)),
		raw(stun.BindingSuccess, attr(stun.AttrMappedAddress, 0, 1, 0x1f, 0x90, 192, 0, 2, 1)),
		raw(stun.BindingRequest, attr(stun.AttrChangeRequest, 0, 0, 0, 6)),
		raw(stun.BindingError, attr(stun.AttrErrorCode, 0, 0, 4, 20)),
		respond(message{}, answer{seen: netip.MustParseAddrPort("[2001:db8::1]:5"), other: netip.MustParseAddrPort("[2001:db8::2]:6"), plain: true}),
		respond(message{old: true}, answer{seen: netip.MustParseAddrPort("192.0.2.1:5")}),
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		fromStream, streamErr := readMessage(bytes.NewReader(b))
		if err == nil && (streamErr != nil || fromStream.id != m.id || fromStream.mapped != m.mapped) {
			t.Fatalf("datagram %+v, stream %+v, %v", m, fromStream, streamErr)
		}
		if err != nil {
			return
		}
		_ = m.answers(m.id)
		s := &Server{spots: []*spot{{at: netip.MustParseAddrPort("127.0.0.1:1")}}}
		_, out := s.reply(s.spots[0], m, netip.MustParseAddrPort("192.0.2.1:8080"), false)
		if out == nil {
			return
		}
		back, err := parse(out)
		if err != nil || back.id != m.id {
			t.Fatalf("our answer %x: %v", out, err)
		}
		if len(out) > len(b)+60 {
			t.Fatalf("%d bytes for %d", len(out), len(b))
		}
	})
}
