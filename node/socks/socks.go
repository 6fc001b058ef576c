// Package socks is the server's side of SOCKS version 5 (RFC 1928) as far as a
// forwarder needs it: CONNECT, without authentication. It reads and writes
// bytes, and opens no socket.
package socks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/sallyport-net/sallyport/node/tunnel"
)

const (
	version  = 5
	noAuth   = 0x00
	noMethod = 0xff
	connect  = 0x01

	ipv4   = 0x01
	domain = 0x03
	ipv6   = 0x04
)

// Code is the REP field of a reply (RFC 1928 §6).
type Code byte

const (
	Succeeded           Code = 0
	GeneralFailure      Code = 1
	NotAllowed          Code = 2
	NetworkUnreachable  Code = 3
	HostUnreachable     Code = 4
	ConnectionRefused   Code = 5
	TTLExpired          Code = 6
	CommandNotSupported Code = 7
	AddressTypeUnknown  Code = 8
)

// CodeOf says how a client is told of a status.
func CodeOf(s tunnel.Status) Code {
	switch s {
	case tunnel.Done:
		return Succeeded
	case tunnel.NotAllowed:
		return NotAllowed
	case tunnel.Refused:
		return ConnectionRefused
	case tunnel.Unreachable, tunnel.NotFound:
		return HostUnreachable
	case tunnel.TimedOut:
		return TTLExpired
	}
	return GeneralFailure
}

// ErrForeign is the error of a client that does not speak SOCKS version 5.
var ErrForeign = errors.New("the client does not speak SOCKS version 5")

// Handshake reads a client's greeting and its request, at most 519 bytes and
// not one more, and gives where it wants to go. It answers the greeting, and a
// request that is refused; the caller answers the others with Answer, and limits
// the time.
func Handshake(rw io.ReadWriter) (tunnel.Place, error) {
	if err := greet(rw); err != nil {
		return tunnel.Place{}, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return tunnel.Place{}, err
	}
	if head[0] != version {
		return tunnel.Place{}, ErrForeign
	}
	host, code, err := readHost(rw, head[3])
	if err != nil {
		return tunnel.Place{}, errors.Join(err, refuse(rw, code))
	}
	var port [2]byte
	if _, err := io.ReadFull(rw, port[:]); err != nil {
		return tunnel.Place{}, err
	}
	if head[1] != connect {
		err := fmt.Errorf("command %d: only CONNECT is served", head[1])
		return tunnel.Place{}, errors.Join(err, refuse(rw, CommandNotSupported))
	}
	p := tunnel.Place{Host: host, Port: binary.BigEndian.Uint16(port[:])}
	if p, err = tunnel.ParsePlace(p.String()); err != nil {
		return tunnel.Place{}, errors.Join(err, refuse(rw, GeneralFailure))
	}
	return p, nil
}

// greet settles that nobody proves anything.
func greet(rw io.ReadWriter) error {
	var head [2]byte
	if _, err := io.ReadFull(rw, head[:1]); err != nil {
		return err
	}
	if head[0] != version {
		return ErrForeign
	}
	if _, err := io.ReadFull(rw, head[1:]); err != nil {
		return err
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(rw, methods); err != nil {
		return err
	}
	for _, m := range methods {
		if m == noAuth {
			_, err := rw.Write([]byte{version, noAuth})
			return err
		}
	}
	_, err := rw.Write([]byte{version, noMethod})
	return errors.Join(errors.New("the client insists on authentication"), err)
}

// readHost reads DST.ADDR. The code is what to answer to an error, Succeeded
// for nothing.
func readHost(r io.Reader, kind byte) (string, Code, error) {
	size := map[byte]int{ipv4: 4, ipv6: 16}[kind]
	switch kind {
	case ipv4, ipv6:
	case domain:
		var length [1]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return "", Succeeded, err
		}
		size = int(length[0])
	default:
		return "", AddressTypeUnknown, fmt.Errorf("address type %d is unknown", kind)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", Succeeded, err
	}
	if kind == domain {
		return string(text), Succeeded, nil
	}
	a, _ := netip.AddrFromSlice(text)
	return a.Unmap().String(), Succeeded, nil
}

func refuse(w io.Writer, code Code) error {
	if code == Succeeded {
		return nil
	}
	return Answer(w, code)
}

// Answer writes the reply to a request. Which address the peer dials from is
// nobody's business: 0.0.0.0:0.
func Answer(w io.Writer, code Code) error {
	_, err := w.Write([]byte{version, byte(code), 0, ipv4, 0, 0, 0, 0, 0, 0})
	return err
}
