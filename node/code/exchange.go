package code

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sallyport-net/sallyport/address"
)

const (
	magic       = "SC1"
	sessionSize = 16
	shareSize   = 32
	tagSize     = 32
	headSize    = len(magic) + 1 + sessionSize
	maxAddress  = 2048
	maxMessage  = headSize + tagSize + maxAddress + chacha20poly1305.Overhead
)

// Why a code led to nobody.
var (
	// ErrWrongCode is told on both sides: the words were not the same, or
	// somebody has meddled.
	ErrWrongCode = errors.New("the code did not match; it is used up")
	// ErrAbandoned is for a code that somebody began to use and did not prove
	// to know. It is used up, since that was a guess.
	ErrAbandoned = errors.New("somebody began to use the code and went away; it is used up")
	errNoMessage = errors.New("no message of this protocol")
)

// Peer is the other side.
type Peer struct {
	Address address.Address
	Secret  [32]byte // the same on both sides, and known to nobody else
}

type kind byte

const (
	kindA kind = 'A'
	kindB kind = 'B'
	kindC kind = 'C'
	kindD kind = 'D'
)

type session [sessionSize]byte

type message struct {
	kind    kind
	session session
	body    []byte
}

func (m message) encode() []byte {
	b := append([]byte(magic), byte(m.kind))
	return append(append(b, m.session[:]...), m.body...)
}

// decode reads a message and checks its sizes.
func decode(b []byte) (m message, err error) {
	if len(b) < headSize || len(b) > maxMessage || string(b[:len(magic)]) != magic {
		return m, errNoMessage
	}
	m = message{kind(b[len(magic)]), session(b[len(magic)+1 : headSize]), b[headSize:]}
	n := len(m.body)
	switch m.kind {
	case kindA:
		err = want(n == shareSize)
	case kindB:
		err = want(n == shareSize+tagSize)
	case kindC:
		err = want(n >= tagSize)
	case kindD:
		err = want(n >= chacha20poly1305.Overhead)
	default:
		err = errNoMessage
	}
	return m, err
}

func want(ok bool) error {
	if ok {
		return nil
	}
	return errNoMessage
}

// keys are what both sides derive.
type keys struct {
	confirmOfferer, confirmTaker, sealOfferer, sealTaker, secret []byte
}

func deriveKeys(isk []byte) (k keys) {
	for label, p := range map[string]*[]byte{
		"confirm offerer": &k.confirmOfferer, "confirm taker": &k.confirmTaker,
		"seal offerer": &k.sealOfferer, "seal taker": &k.sealTaker, "secret": &k.secret,
	} {
		b, err := hkdf.Key(sha256.New, isk, nil, label, 32)
		if err != nil {
			panic(err) // not reached: 32 bytes can be had
		}
		*p = b
	}
	return k
}

func tag(key []byte, s session, ya, yb []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(s[:])
	h.Write(ya)
	h.Write(yb)
	return h.Sum(nil)
}

// sealText seals once with a key that is used once.
func sealText(key []byte, s session, text string) []byte {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // not reached: the key has 32 bytes
	}
	return aead.Seal(nil, make([]byte, aead.NonceSize()), []byte(text), s[:])
}

// openAddress opens what sealText sealed; it must be the address of a key.
func openAddress(key []byte, s session, sealed []byte) (address.Address, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return address.Address{}, err
	}
	text, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, s[:])
	if err != nil {
		return address.Address{}, ErrWrongCode
	}
	a, err := address.Parse(string(text))
	if err == nil && a.Key.IsZero() {
		err = errors.New("an address without a key")
	}
	if err != nil {
		return address.Address{}, fmt.Errorf("the other side gave no good address: %w", err)
	}
	return a, nil
}

// sharedInfo is CPace's CI: it binds the exchange to this use and number.
func (c Code) sharedInfo() []byte {
	return []byte("sallyport code 1\x00" + strconv.Itoa(c.number))
}

var (
	takerData   = []byte("taker")
	offererData = []byte("offerer")
)

// offerer is the side that shows the code, without a network: a function from
// messages to messages. It lets one session have a guess.
type offerer struct {
	code Code
	self string // our address

	session *session // that has its guess
	ya      []byte
	yb      []byte
	keys    keys
	answer  []byte // B, then D
	over    bool
}

// receive gives the message to send, nil for none. done says that the exchange
// has ended, with peer or err.
func (o *offerer) receive(m message) (reply []byte, peer Peer, done bool, err error) {
	switch {
	case o.session == nil && m.kind == kindA:
		side := newCPace([]byte(o.code.password()), o.code.sharedInfo(), m.session[:])
		isk, err := side.key(m.body, m.body, takerData, side.share, offererData)
		if err != nil {
			return nil, peer, false, nil // no guess can come of it
		}
		s := m.session
		o.session, o.ya, o.yb, o.keys = &s, m.body, side.share, deriveKeys(isk)
		o.answer = message{kindB, s, append(append([]byte(nil), o.yb...), tag(o.keys.confirmOfferer, s, o.ya, o.yb)...)}.encode()
		return o.answer, peer, false, nil
	case o.session == nil || *o.session != m.session:
		return nil, peer, false, nil
	case m.kind == kindA && !o.over:
		return o.answer, peer, false, nil
	case m.kind == kindC && o.over:
		return o.answer, peer, false, nil
	case m.kind == kindC:
		o.over, o.answer = true, nil
		if !hmac.Equal(m.body[:tagSize], tag(o.keys.confirmTaker, m.session, o.ya, o.yb)) {
			return nil, peer, true, ErrWrongCode
		}
		if peer.Address, err = openAddress(o.keys.sealTaker, m.session, m.body[tagSize:]); err != nil {
			return nil, Peer{}, true, err
		}
		peer.Secret = [32]byte(o.keys.secret)
		o.answer = message{kindD, m.session, sealText(o.keys.sealOfferer, m.session, o.self)}.encode()
		return o.answer, peer, true, nil
	}
	return nil, peer, false, nil
}

// taker is the side that types the code.
type taker struct {
	self    string
	session session
	side    *cpace
	keys    keys
	proven  bool
	current []byte // A, then C: what is to be repeated
}

func newTaker(c Code, self string) *taker {
	t := &taker{self: self}
	_, _ = rand.Read(t.session[:])
	t.side = newCPace([]byte(c.password()), c.sharedInfo(), t.session[:])
	t.current = message{kindA, t.session, t.side.share}.encode()
	return t
}

// receive is as the offerer's.
func (t *taker) receive(m message) (reply []byte, peer Peer, done bool, err error) {
	switch {
	case m.session != t.session:
		return nil, peer, false, nil
	case m.kind == kindB && !t.proven:
		yb := m.body[:shareSize]
		isk, err := t.side.key(yb, t.side.share, takerData, yb, offererData)
		if err != nil {
			return nil, peer, true, ErrWrongCode
		}
		t.keys = deriveKeys(isk)
		mine := tag(t.keys.confirmTaker, t.session, t.side.share, yb)
		if !hmac.Equal(m.body[shareSize:], tag(t.keys.confirmOfferer, t.session, t.side.share, yb)) {
			return message{kindC, t.session, mine}.encode(), peer, true, ErrWrongCode
		}
		t.proven = true
		t.current = message{kindC, t.session, append(mine, sealText(t.keys.sealTaker, t.session, t.self)...)}.encode()
		return t.current, peer, false, nil
	case m.kind == kindD && t.proven:
		if peer.Address, err = openAddress(t.keys.sealOfferer, t.session, m.body); errors.Is(err, ErrWrongCode) {
			return nil, Peer{}, false, nil // not by the offerer, who has proven to know the code
		}
		peer.Secret = [32]byte(t.keys.secret)
		return nil, peer, true, err
	}
	return nil, peer, false, nil
}
