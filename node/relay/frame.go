package relay

import (
	"encoding/binary"
	"errors"
	"io"
)

// What of a STUN message (RFC 8489 §5) is looked at before pion/turn sees it.
const (
	headerSize  = 20
	maxMessage  = 1400 // bytes; whatever TURN needs has a few hundred
	magicCookie = 0x2112A442

	bindRequest       = 0x000b // ConnectionBind (RFC 6062 §6.2)
	bindSuccess       = 0x010b
	connectionAttempt = 0x001c // an indication
)

var errFrame = errors.New("not a STUN message")

// readFrame reads exactly one message from r into p, and not a byte more. It is
// strict where pion/turn is not: a length near 65535 makes its framing overflow
// and spin for ever, and its client takes a part of a message for the whole.
func readFrame(r io.Reader, p []byte) (int, error) {
	if len(p) < headerSize {
		return 0, io.ErrShortBuffer
	}
	if _, err := io.ReadFull(r, p[:headerSize]); err != nil {
		return 0, err
	}
	length := int(binary.BigEndian.Uint16(p[2:4]))
	n := headerSize + length
	if p[0]&0xc0 != 0 || length%4 != 0 || n > maxMessage || binary.BigEndian.Uint32(p[4:8]) != magicCookie {
		return 0, errFrame
	}
	if n > len(p) {
		return 0, io.ErrShortBuffer
	}
	_, err := io.ReadFull(r, p[headerSize:n])
	return n, err
}

// typeOf is the type of a message.
func typeOf(message []byte) uint16 {
	if len(message) < headerSize {
		return 0
	}
	return binary.BigEndian.Uint16(message)
}
