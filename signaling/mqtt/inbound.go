package mqtt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/sallyport-net/sallyport/signaling/proof"
)

// The packet types that a broker may send us (MQTT 3.1.1, 2.2.1), and the one
// that has no business there but is the goodbye of some brokers.
const (
	typeConnack    = 2
	typePublish    = 3
	typeSuback     = 9
	typePingresp   = 13
	typeDisconnect = 14
)

var errGoodbye = errors.New("broker ended the connection")

// inbound reads what a broker sends and hands on, through Read, only whole
// packets that are well formed and of use. paho would allocate 256 MB on the
// word of five bytes, index out of range on a SUBACK with two codes, keep QoS 2
// messages without end, and take an unknown CONNACK code for success.
//
// A publish that is too large, retained or of another topic is skipped: anybody
// may send us one, so it must not cost us the connection. Anything else that is
// out of place is an error.
type inbound struct {
	src     *bufio.Reader
	topic   string
	limit   int  // bytes of payload
	retains bool // whether retained messages are handed on
	skipped *atomic.Uint64
	asked   chan proof.Challenge // has an element when the broker wants a proof

	greeted bool   // the CONNACK has come
	buf     []byte // the current packet
	rest    []byte // what Read has not handed on of it
}

func newInbound(src io.Reader, topic string, limit int, retains bool, skipped *atomic.Uint64) *inbound {
	return &inbound{
		src: bufio.NewReaderSize(src, 1024), topic: topic, limit: limit, retains: retains, skipped: skipped,
		asked: make(chan proof.Challenge, 1),
	}
}

// Read gives bytes of checked packets.
func (in *inbound) Read(p []byte) (int, error) {
	for len(in.rest) == 0 {
		if err := in.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

// next reads one packet and leaves it in rest, or skips it.
func (in *inbound) next() error {
	head, err := in.src.ReadByte()
	if err != nil {
		return err
	}
	length, err := in.length()
	if err != nil {
		return err
	}
	kind, flags := head>>4, head&0x0f
	if !in.greeted && kind != typeConnack {
		return fmt.Errorf("broker began with packet type %d, not CONNACK", kind)
	}
	switch {
	case kind == typeConnack && flags == 0 && length == 2 && !in.greeted:
		in.greeted = true
	case kind == typePublish && flags&0x06 == 0: // QoS 0, as we subscribed
		if flags&0x01 != 0 && !in.retains || length > max(in.longest(), proof.PacketSize) {
			return in.skip(length)
		}
	case kind == typeSuback && flags == 0 && length == 3:
	case kind == typePingresp && flags == 0 && length == 0:
	case kind == typeDisconnect:
		return errGoodbye
	default:
		return fmt.Errorf("broker sent packet type %d, flags %#x, %d bytes, out of place", kind, flags, length)
	}
	if err := in.read(head, length); err != nil {
		return err
	}
	body := in.buf[len(in.buf)-length:]
	switch {
	case kind == typeConnack && body[1] > 5:
		return fmt.Errorf("broker refused the connection with unknown code %d", body[1])
	case kind == typeConnack:
		// What came together with it is known before the subscription is asked for.
		if ahead, _ := in.src.Peek(min(in.src.Buffered(), proof.PacketSize)); in.challenged(ahead) {
			_, _ = in.src.Discard(len(ahead))
		}
	case kind == typePublish && !in.ours(body):
		if !in.challenged(in.buf) {
			in.skipped.Add(1)
		}
		return nil
	}
	in.rest = in.buf
	return nil
}

// challenged keeps the first challenge of a connection.
func (in *inbound) challenged(packet []byte) bool {
	c, ok := proof.ParsePacket(packet)
	if !ok {
		return false
	}
	select {
	case in.asked <- c:
		return true
	default:
		return false
	}
}

// length reads a remaining length: at most four bytes of seven bits.
func (in *inbound) length() (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := in.src.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, errors.New("broker sent a length of more than four bytes")
}

// read puts a whole packet of a bounded length into buf.
func (in *inbound) read(head byte, length int) error {
	in.buf = append(in.buf[:0], head)
	for n := length; ; n >>= 7 {
		if n < 0x80 {
			in.buf = append(in.buf, byte(n))
			break
		}
		in.buf = append(in.buf, byte(n)|0x80)
	}
	at := len(in.buf)
	in.buf = append(in.buf, make([]byte, length)...)
	_, err := io.ReadFull(in.src, in.buf[at:])
	return err
}

func (in *inbound) skip(length int) error {
	in.skipped.Add(1)
	_, err := in.src.Discard(length)
	return err
}

// longest is the length of the body of our largest PUBLISH.
func (in *inbound) longest() int { return 2 + len(in.topic) + in.limit }

// ours reports whether the body of a PUBLISH names our topic, and fits.
func (in *inbound) ours(body []byte) bool {
	if len(body) < 2 || len(body) > in.longest() {
		return false
	}
	n := int(body[0])<<8 | int(body[1])
	return len(body) >= 2+n && string(body[2:2+n]) == in.topic
}
