package session

import (
	"encoding/binary"
	"fmt"
)

const (
	headerSize = 8
	// maxPayload makes the biggest frame 64 KiB with its header.
	maxPayload = 64<<10 - headerSize
)

type frameType byte

// Those below 16 are numbered.
const (
	frameOpen    frameType = 1
	frameAccept  frameType = 2
	frameData    frameType = 3
	frameFin     frameType = 4
	frameClose   frameType = 5
	frameReset   frameType = 6
	frameWindow  frameType = 7
	frameClosing frameType = 8

	frameFrom frameType = 16
	frameAck  frameType = 17
	framePing frameType = 18
	framePong frameType = 19
)

func (t frameType) numbered() bool { return t < 16 }

// header is the first eight bytes of a frame.
type header struct {
	typ    frameType
	code   byte
	length int
	stream uint32
}

func (h header) put(b []byte) {
	b[0], b[1] = byte(h.typ), h.code
	binary.BigEndian.PutUint16(b[2:], uint16(h.length))
	binary.BigEndian.PutUint32(b[4:], h.stream)
}

// parseHeader reads a header of headerSize bytes. The error names a type that
// is unknown, or a length that its type cannot have.
func parseHeader(b []byte) (header, error) {
	h := header{frameType(b[0]), b[1], int(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[4:])}
	want := 0
	switch h.typ {
	case frameData:
		if h.length == 0 || h.length > maxPayload {
			return h, fmt.Errorf("%w: %d bytes of data", errProtocol, h.length)
		}
		want = h.length
	case frameOpen, frameAccept, frameFin, frameClose, frameReset, frameClosing:
	case frameWindow:
		want = 4
	case frameFrom, frameAck, framePing, framePong:
		want = 8
	default:
		return h, fmt.Errorf("%w: frame of type %d", errProtocol, h.typ)
	}
	ofStream := h.typ.numbered() && h.typ != frameClosing
	if h.length != want || ofStream != (h.stream != 0) {
		return h, fmt.Errorf("%w: frame of type %d with %d bytes on stream %d", errProtocol, h.typ, h.length, h.stream)
	}
	return h, nil
}
