package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/pion/stun/v2"
)

const (
	headerSize = 20
	cookie     = 0x2112A442
	// largest is the longest message that is read: an answer to Binding has
	// about 100 bytes, and anything above an Ethernet frame is no answer.
	largest = 1500
	// mostAttributes bounds what one message may make us look at.
	mostAttributes = 32
)

// changeIP and changePort are the flags of CHANGE-REQUEST (RFC 5780 §7.2).
const (
	changeIP   = 4
	changePort = 2
)

// transactionID is the magic cookie and the 96 random bits after it, or all
// 128 bits of RFC 3489.
type transactionID [16]byte

// message is a STUN message as far as it concerns us, checked.
type message struct {
	class  stun.MessageClass
	method stun.Method
	id     transactionID
	old    bool // RFC 3489: no magic cookie

	mapped    netip.AddrPort // XOR-MAPPED-ADDRESS, or else MAPPED-ADDRESS
	rewritten bool           // both were there and differed
	other     netip.AddrPort // OTHER-ADDRESS, or else RFC 3489's CHANGED-ADDRESS
	change    uint32         // flags of CHANGE-REQUEST
	call      uint32         // flags of CALL
	results   [2]callResult  // of CALL-RESULT
	port      uint16         // of RESPONSE-PORT (RFC 5780 §7.5), 0 if there is none
	code      int            // of ERROR-CODE, 0 if there is none
	unknown   []stun.AttrType
}

var errNotSTUN = errors.New("not a STUN message")

// parse reads one whole message. It is the only way in for bytes from the
// network, and checks lengths before it asks the library anything: GetFrom
// panics on short attributes. Whatever follows an oddity that matters is an
// error; attributes that may be ignored are.
func parse(b []byte) (message, error) {
	if len(b) < headerSize || len(b) > largest || b[0]&0xc0 != 0 {
		return message{}, errNotSTUN
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b)-headerSize || n%4 != 0 {
		return message{}, fmt.Errorf("a message of %d bytes says that it has %d", len(b), n+headerSize)
	}
	m := message{id: transactionID(b[4:headerSize])}
	raw := append([]byte(nil), b...)
	if binary.BigEndian.Uint32(raw[4:]) != cookie {
		m.old = true
		binary.BigEndian.PutUint32(raw[4:], cookie)
	}
	var s stun.Message
	if err := stun.Decode(raw, &s); err != nil {
		return message{}, err
	}
	if len(s.Attributes) > mostAttributes {
		return message{}, fmt.Errorf("a message with %d attributes", len(s.Attributes))
	}
	m.class, m.method = s.Type.Class, s.Type.Method
	return m, m.attributes(&s)
}

// attributes takes the first attribute of each kind (RFC 8489 §14).
func (m *message) attributes(s *stun.Message) error {
	var plain, xored, other, changed netip.AddrPort
	for _, a := range s.Attributes {
		var err error
		switch a.Type {
		case stun.AttrXORMappedAddress:
			err = first(&xored, a, func() (netip.AddrPort, error) {
				var x stun.XORMappedAddress
				err := x.GetFromAs(s, a.Type)
				return endpoint(x.IP, x.Port), err
			})
		case stun.AttrMappedAddress:
			err = first(&plain, a, plainAddress(s, a.Type))
		case stun.AttrOtherAddress:
			err = first(&other, a, plainAddress(s, a.Type))
		case stun.AttrChangedAddress:
			err = first(&changed, a, plainAddress(s, a.Type))
		case stun.AttrChangeRequest:
			if len(a.Value) != 4 {
				err = fmt.Errorf("%v of %d bytes", a.Type, len(a.Value))
			} else {
				m.change = binary.BigEndian.Uint32(a.Value) & (changeIP | changePort)
			}
		case stun.AttrResponsePort:
			if len(a.Value) != 4 && len(a.Value) != 2 {
				err = fmt.Errorf("%v of %d bytes", a.Type, len(a.Value))
			} else {
				m.port = binary.BigEndian.Uint16(a.Value)
			}
		case attrCall:
			if len(a.Value) == 4 {
				m.call = binary.BigEndian.Uint32(a.Value) & (changeIP | changePort)
			}
		case attrCallResult:
			if len(a.Value) == 4 && max(a.Value[0], a.Value[1]) <= byte(callSilent) {
				m.results = [2]callResult{callResult(a.Value[0]), callResult(a.Value[1])}
			}
		case stun.AttrErrorCode:
			if len(a.Value) < 4 {
				err = fmt.Errorf("%v of %d bytes", a.Type, len(a.Value))
			} else if m.code == 0 {
				m.code = int(a.Value[2]&7)*100 + int(a.Value[3])
			}
		case stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256,
			stun.AttrSourceAddress, stun.AttrUnknownAttributes, stun.AttrRealm, stun.AttrNonce:
			// Known, and nothing to us: we neither ask for nor want a login.
		default:
			if a.Type.Required() {
				m.unknown = append(m.unknown, a.Type)
			}
		}
		if err != nil {
			return err
		}
	}
	m.mapped, m.other = plain, changed
	if xored.IsValid() {
		m.rewritten = plain.IsValid() && plain != xored
		m.mapped = xored
	}
	if other.IsValid() {
		m.other = other
	}
	return nil
}

// first sets dst by read, if it was not set before and the attribute has the
// length of an address of its family (RFC 8489 §14.1).
func first(dst *netip.AddrPort, a stun.RawAttribute, read func() (netip.AddrPort, error)) error {
	if len(a.Value) != 8 && len(a.Value) != 20 {
		return fmt.Errorf("%v of %d bytes", a.Type, len(a.Value))
	}
	if v4 := len(a.Value) == 8; v4 && a.Value[1] != 1 || !v4 && a.Value[1] != 2 {
		return fmt.Errorf("%v of %d bytes and family %d", a.Type, len(a.Value), a.Value[1])
	}
	if dst.IsValid() {
		return nil
	}
	v, err := read()
	if err == nil {
		*dst = v
	}
	return err
}

func plainAddress(s *stun.Message, t stun.AttrType) func() (netip.AddrPort, error) {
	return func() (netip.AddrPort, error) {
		var a stun.MappedAddress
		err := a.GetFromAs(s, t)
		return endpoint(a.IP, a.Port), err
	}
}

func endpoint(ip []byte, port int) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), uint16(port))
}

// request builds a Binding request with a fresh transaction id; change holds
// the flags of CHANGE-REQUEST, 0 for none.
func request(change uint32) (transactionID, []byte) {
	return requestWith(stun.AttrChangeRequest, change)
}

// requestToPort builds a Binding request to be answered to another port of ours.
func requestToPort(port uint16) (transactionID, []byte) {
	return requestWith(stun.AttrResponsePort, uint32(port)<<16)
}

// requestWith builds a Binding request with flags in one attribute, which is
// left out where they are 0.
func requestWith(attribute stun.AttrType, flags uint32) (transactionID, []byte) {
	m := stun.New()
	m.TransactionID = stun.NewTransactionID()
	m.SetType(stun.BindingRequest)
	m.WriteHeader()
	if flags != 0 {
		m.Add(attribute, binary.BigEndian.AppendUint32(nil, flags))
	}
	return transactionID(m.Raw[4:headerSize]), m.Raw
}

// answers checks that m is what a server says to the request id, and that it
// says where it saw us.
func (m message) answers(id transactionID) error {
	switch {
	case m.id != id:
		return errors.New("an answer to another request")
	case m.method != stun.MethodBinding:
		return fmt.Errorf("an answer to method %v", m.method)
	case m.class == stun.ClassErrorResponse:
		return fmt.Errorf("refused with error %d", m.code)
	case m.class != stun.ClassSuccessResponse:
		return fmt.Errorf("a %v", m.class)
	case !m.mapped.IsValid() || m.mapped.Port() == 0 || m.mapped.Addr().IsUnspecified():
		return errors.New("an answer without a mapped address")
	}
	return nil
}

// asksOnly reports whether m is a plain Binding request of today.
func (m message) asksOnly() bool {
	return m.class == stun.ClassRequest && m.method == stun.MethodBinding && !m.old && len(m.unknown) == 0 && m.change == 0
}

// readMessage reads one message from a stream: the header says how long it is
// (RFC 8489 §6.2.2). Nothing longer than largest is read.
func readMessage(r io.Reader) (message, error) {
	b := make([]byte, headerSize, 128)
	if _, err := io.ReadFull(r, b); err != nil {
		return message{}, err
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if b[0]&0xc0 != 0 || headerSize+n > largest {
		return message{}, errNotSTUN
	}
	b = append(b, make([]byte, n)...)
	if _, err := io.ReadFull(r, b[headerSize:]); err != nil {
		return message{}, err
	}
	return parse(b)
}
