package tunnel

import (
	"errors"
	"fmt"
	"io"
)

const (
	// A node that sends everything back shall not seem to answer.
	asks    = "spt"
	answers = "spr"
	version = 1
)

// Kind says what a stream is for.
type Kind byte

const (
	Dial   Kind = 1 // connect the stream to a service
	Listen Kind = 2 // listen, and knock for each connection
	Take   Kind = 3 // the stream is for a connection that knocked
)

// Ticket names a connection that knocked. It is random, since it is what lets
// one take the connection.
type Ticket [16]byte

// Request is the beginning of a stream.
type Request struct {
	Kind   Kind
	Place  Place  // of Dial and Listen
	Ticket Ticket // of Take
}

// ErrForeign is in the error of a stream that does not begin as one of ours:
// the other side's node is for something else.
var ErrForeign = errors.New("the stream is not a tunnel's")

// malformed is the error of bytes that break the layout.
func malformed(format string, args ...any) error {
	return fmt.Errorf("malformed: "+format, args...)
}

// cut makes an end in the middle an error.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Bytes is the request as it is sent.
func (r Request) Bytes() []byte {
	b := append([]byte(asks), version, byte(r.Kind))
	if r.Kind == Take {
		return append(b, r.Ticket[:]...)
	}
	return r.Place.append(b)
}

// ReadRequest reads one, and not a byte more. The caller limits the time.
func ReadRequest(r io.Reader) (Request, error) {
	kind, err := readHead(r, asks)
	if err != nil {
		return Request{}, err
	}
	q := Request{Kind: Kind(kind)}
	switch q.Kind {
	case Dial:
		if q.Place, err = readPlace(r); err != nil {
			return Request{}, err
		}
		if _, err := ParsePlace(q.Place.String()); err != nil {
			return Request{}, malformed("%v", err)
		}
	case Listen:
		if q.Place, err = readPlace(r); err != nil {
			return Request{}, err
		}
		if _, ok := q.Place.Addr(); !ok && q.Place.Host != "" {
			return Request{}, malformed("%q is no address to listen on", q.Place.Host)
		}
	case Take:
		if _, err := io.ReadFull(r, q.Ticket[:]); err != nil {
			return Request{}, cut(err)
		}
	default:
		return Request{}, malformed("a request of kind %d", kind)
	}
	return q, nil
}

// readHead reads magic and version, and gives the byte after them.
func readHead(r io.Reader, magic string) (byte, error) {
	var head [len(asks) + 2]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return 0, err // io.EOF: nothing was said at all
	}
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return 0, cut(err)
	}
	switch {
	case string(head[:len(magic)]) != magic:
		return 0, ErrForeign
	case head[len(magic)] != version:
		return 0, malformed("version %d, not %d: use the same version on both sides", head[len(magic)], version)
	}
	return head[len(magic)+1], nil
}
