package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/sallyport-net/sallyport/address"
)

// TokenSize is the length of a token in bytes.
const TokenSize = 16

// recordHandshake and recordAlert are the first bytes of TLS records that may
// come first on a connection (RFC 8446 §5.1).
const (
	recordAlert     = 0x15
	recordHandshake = 0x16
)

// Token is what a callee that dials writes before anything else, so that the
// caller knows to which of its attempts the connection belongs.
type Token [TokenSize]byte

// NewToken derives the token of an attempt from the secret that its signal
// carried: an HMAC-SHA-256 over the domain, the attempt and both keys, cut to
// 16 bytes, with the high bit of the first byte set. That bit tells a token
// from a TLS record.
func NewToken(secret, attempt [16]byte, caller, callee address.Key) Token {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("sallyport link token v1\x00"))
	mac.Write(attempt[:])
	mac.Write(caller.Bytes())
	mac.Write(callee.Bytes())
	t := Token(mac.Sum(nil)[:TokenSize])
	t[0] |= 0x80
	return t
}

// String hides the token: whoever knows it can pose as the callee's connection.
func (Token) String() string { return "token" }

// errToken is met where something else than the expected token comes first.
var errToken = errors.New("the other end is not the peer that was signalled")

// Sniff reads the first bytes of an accepted connection. Where they are a
// token, it is consumed and returned with ok set; where they begin a TLS
// handshake, nothing is lost: the returned connection gives them again. The
// caller sets the deadline.
func Sniff(c net.Conn) (conn net.Conn, token Token, ok bool, err error) {
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return nil, Token{}, false, fmt.Errorf("reading the first byte: %w", err)
	}
	if first[0] == recordHandshake {
		return &unread{Conn: c, head: first[:]}, Token{}, false, nil
	}
	if first[0]&0x80 == 0 {
		return nil, Token{}, false, errToken
	}
	token[0] = first[0]
	if _, err := io.ReadFull(c, token[1:]); err != nil {
		return nil, Token{}, false, fmt.Errorf("reading a token: %w", err)
	}
	return c, token, true, nil
}

// unread gives bytes back that were read too early.
type unread struct {
	net.Conn
	head []byte
}

// NetConn is the connection beneath.
func (u *unread) NetConn() net.Conn { return u.Conn }

func (u *unread) Read(p []byte) (int, error) {
	if len(u.head) == 0 {
		return u.Conn.Read(p)
	}
	n := copy(p, u.head)
	u.head = u.head[n:]
	return n, nil
}

// expecting takes a token off the front of what is read, if one comes before
// the first TLS record: after a simultaneous open both ends have dialled, and
// the callee's token crosses the caller's ClientHello.
type expecting struct {
	net.Conn
	want Token
	past bool
}

// NetConn is the connection beneath.
func (e *expecting) NetConn() net.Conn { return e.Conn }

func (e *expecting) Read(p []byte) (int, error) {
	if e.past || len(p) == 0 {
		return e.Conn.Read(p)
	}
	if _, err := io.ReadFull(e.Conn, p[:1]); err != nil {
		return 0, err
	}
	if p[0] == recordHandshake || p[0] == recordAlert {
		e.past = true
		return 1, nil
	}
	got := Token{p[0]}
	if _, err := io.ReadFull(e.Conn, got[1:]); err != nil {
		return 0, err
	}
	if subtle.ConstantTimeCompare(got[:], e.want[:]) != 1 {
		return 0, errToken
	}
	e.past = true
	return e.Conn.Read(p)
}
