package lan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/signaling/seal"
)

// size is that of every datagram in bytes.
var size = seal.Buckets[0]

// Port is the UDP port to which queries go.
const Port = 21233

var (
	group4 = netip.MustParseAddr("239.255.83.80") // of the local scope, RFC 2365
	group6 = netip.MustParseAddr("ff12::5350")    // link-local and not assigned, RFC 4291 §2.7
)

const (
	queryHead  = "lan1q"
	answerHead = "lan1a"

	querySize  = len(queryHead) + 16 + 8 + 16 + 2
	answerSize = len(answerHead) + 16 + 16 + 2

	lowestPort = 1024 // below, services listen that shall get nothing from us
)

var (
	errFormat = errors.New("not a message of this protocol")
	errPlace  = errors.New("it names an address or a port that nobody can have")
)

// nonce ties an answer to its query.
type nonce [16]byte

// query asks the owner of a key where it is.
type query struct {
	nonce nonce
	sent  time.Time // to the millisecond
	from  netip.AddrPort
}

func (q query) append(b []byte) []byte {
	b = append(b, queryHead...)
	b = append(b, q.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(q.sent.UnixMilli()))
	return appendPlace(b, q.from)
}

// parseQuery takes the body of a query that was unsealed.
func parseQuery(b []byte) (q query, err error) {
	if len(b) != querySize || !bytes.HasPrefix(b, []byte(queryHead)) {
		return q, errFormat
	}
	b = b[len(queryHead):]
	q.nonce = nonce(b[:16])
	q.sent = time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:])))
	if q.from, err = parsePlace(b[24:]); err == nil && q.from.Port() < lowestPort {
		err = errPlace
	}
	return q, err
}

// answer tells where the owner of the key listens.
type answer struct {
	nonce nonce
	at    netip.AddrPort
}

func (a answer) append(b []byte) []byte {
	b = append(b, answerHead...)
	b = append(b, a.nonce[:]...)
	return appendPlace(b, a.at)
}

// parseAnswer takes the body of an answer that was unsealed.
func parseAnswer(b []byte) (a answer, err error) {
	if len(b) != answerSize || !bytes.HasPrefix(b, []byte(answerHead)) {
		return a, errFormat
	}
	b = b[len(answerHead):]
	a.nonce = nonce(b[:16])
	a.at, err = parsePlace(b[16:])
	return a, err
}

// appendPlace leaves the zone out, which means nothing to others.
func appendPlace(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16()
	return binary.BigEndian.AppendUint16(append(b, ip[:]...), a.Port())
}

func parsePlace(b []byte) (netip.AddrPort, error) {
	a := netip.AddrFrom16([16]byte(b)).Unmap()
	port := binary.BigEndian.Uint16(b[16:])
	if port == 0 || a.IsUnspecified() || a.IsMulticast() {
		return netip.AddrPort{}, errPlace
	}
	return netip.AddrPortFrom(a, port), nil
}
