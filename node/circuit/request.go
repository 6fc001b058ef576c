package circuit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sallyport-net/sallyport/address"
)

const (
	version = 1
	// headSize is the length of a request without its address.
	headSize = 2 + keySize + 2
	keySize  = 33
	// MaxAddress is how long the text of an address may be.
	MaxAddress = address.MaxLength
)

// Op is what a request asks for.
type Op byte

const (
	To    Op = 1 // lead me to this node
	From  Op = 2 // this node wants to reach you
	Await Op = 3 // let this node be led to me
)

// Request is the first thing on a stream for a circuit.
type Request struct {
	Op   Op
	Node address.Key
	// Address is where Node may be, with To; its key is Node. Zero means that
	// only the key is known.
	Address address.Address
}

// errMalformed is met where something else than a request comes.
var errMalformed = errors.New("not a request for a circuit")

// errUnsupported is met where a request is of another version.
var errUnsupported = errors.New("a request for a circuit of another version")

// Append appends the request in its binary form. An address that no parser would
// take is left out.
func (r Request) Append(b []byte) []byte {
	text, err := r.Address.MarshalText()
	if err != nil || r.Address.Key.IsZero() || len(text) > MaxAddress {
		text = nil
	}
	b = append(b, version, byte(r.Op))
	b = append(b, r.Node.Bytes()...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

// ReadRequest reads a request, and nothing of what follows it.
func ReadRequest(from io.Reader) (Request, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(from, head[:1]); err != nil {
		return Request{}, fmt.Errorf("reading a request for a circuit: %w", err)
	}
	if head[0] != version {
		return Request{}, errUnsupported
	}
	if _, err := io.ReadFull(from, head[1:]); err != nil {
		return Request{}, fmt.Errorf("reading a request for a circuit: %w", err)
	}
	r := Request{Op: Op(head[1])}
	if r.Op < To || r.Op > Await {
		return Request{}, errUnsupported
	}
	var err error
	if r.Node, err = address.KeyFromBytes(head[2 : 2+keySize]); err != nil {
		return Request{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	length := int(binary.BigEndian.Uint16(head[2+keySize:]))
	switch {
	case length == 0:
		return r, nil
	case length > MaxAddress || r.Op != To:
		return Request{}, fmt.Errorf("%w: an address of %d bytes", errMalformed, length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(from, text); err != nil {
		return Request{}, fmt.Errorf("reading a request for a circuit: %w", err)
	}
	if r.Address, err = address.Parse(string(text)); err != nil {
		return Request{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if r.Address.Key != r.Node {
		return Request{}, fmt.Errorf("%w: the address is another node's", errMalformed)
	}
	return r, nil
}
