// Package seal closes a message so that only its recipient can read it, and
// opens it so that its sender is known for sure.
//
// A sealed payload is as long as one of Buckets, and laid out so (offsets and
// lengths in bytes):
//
//	 0   1  version, 1
//	 1  33  ephemeral public key E, a compressed point on secp256k1
//	34   n  XChaCha20-Poly1305 ciphertext of the plaintext below
//	  +16  its tag
//
// The plaintext fills what the bucket leaves, 50 bytes less:
//
//	 0  33  sender's public key S, compressed
//	33   1  length of the signature, 8 to 72
//	34   s  ECDSA signature by S in DER
//	     2  length of the body, big-endian
//	     b  body
//	        zeros up to the end
//
// With R the recipient's compressed public key and x the 32-byte x coordinate
// of the point shared by E and R:
//
//	key, nonce = HKDF-SHA-256(secret x, no salt, info "sallyport seal 1" E R)
//	             of which the first 32 bytes are the key, the next 24 the nonce
//	associated data = version E R
//	signed hash     = SHA-256("sallyport signed body 1" 0x00 version S R E body)
//
// The nonce may come from the same derivation because every payload has an
// ephemeral key of its own, retransmissions included. The signature covers R
// and E, so that a recipient cannot seal what it got for somebody else, nor
// under another ephemeral key.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sallyport-net/sallyport/address"
)

// Version is the first byte of every payload.
const Version = 1

// Buckets are the sizes that a payload may have, in bytes, smallest first. A
// message with one interface fits the first, whatever its kind, so that sizes
// do not tell kinds apart.
var Buckets = [...]int{1024, 2048, 4096, 8192}

const (
	// MaxPayload is the size of the largest payload in bytes.
	MaxPayload = 8192
	// MaxBody is the size of the largest body that can be sealed, in bytes.
	MaxBody = MaxPayload - header - chacha20poly1305.Overhead - inner - maxSignature

	header       = 1 + address.KeySize
	inner        = address.KeySize + 1 + 2 // sender and the two lengths
	minSignature = 8
	maxSignature = 72

	infoLabel = "sallyport seal 1"
	signLabel = "sallyport signed body 1\x00"
)

// What Open refuses, apart from nothing else.
var (
	// ErrFormat is a payload of a wrong size or version, or without a key.
	ErrFormat = errors.New("not a sealed payload")
	// ErrUnsealed is a payload for somebody else, or a damaged one.
	ErrUnsealed = errors.New("not sealed for this key, or damaged")
	// ErrContent is a payload whose inside is not laid out as it must be.
	ErrContent = errors.New("sealed, but wrong inside")
	// ErrSignature is a payload whose sender did not sign it.
	ErrSignature = errors.New("not signed by the sender that it names")
)

// Seal closes body for to and signs it as from. It fails where body is longer
// than MaxBody, or the system has no randomness.
func Seal(from address.PrivateKey, to address.Key, body []byte) ([]byte, error) {
	ephemeral, err := address.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealWith(ephemeral, from, to, body)
}

// sealWith is Seal under a given ephemeral key, which must never be used
// twice. All else is determined: ECDSA nonces are those of RFC 6979.
func sealWith(ephemeral, from address.PrivateKey, to address.Key, body []byte) ([]byte, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("sealing: a body of %d bytes, at most %d fit", len(body), MaxBody)
	}
	e := ephemeral.Public()
	aead, nonce, err := derive(ephemeral, to, e, to)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	signature := from.Sign(signedHash(from.Public(), to, e, body))

	size := bucket(header + chacha20poly1305.Overhead + inner + len(signature) + len(body))
	plain := make([]byte, 0, size)
	plain = append(plain, from.Public().Bytes()...)
	plain = append(plain, byte(len(signature)))
	plain = append(plain, signature...)
	plain = binary.BigEndian.AppendUint16(plain, uint16(len(body)))
	plain = append(plain, body...)
	plain = plain[:size-header-chacha20poly1305.Overhead] // the rest is zero

	payload := make([]byte, 0, size)
	payload = append(payload, Version)
	payload = append(payload, e.Bytes()...)
	return aead.Seal(payload, nonce, plain, associated(e, to)), nil
}

// Open opens a payload that was sealed for the owner of to, and gives the key
// that signed it and the body, exactly as it was signed. The errors are those
// above.
func Open(to address.PrivateKey, payload []byte) (from address.Key, body []byte, err error) {
	if !Plausible(payload) {
		return from, nil, ErrFormat
	}
	e, err := address.KeyFromBytes(payload[1:header])
	if err != nil {
		return from, nil, ErrFormat
	}
	r := to.Public()
	aead, nonce, err := derive(to, e, e, r)
	if err != nil {
		return from, nil, ErrFormat
	}
	plain, err := aead.Open(nil, nonce, payload[header:], associated(e, r))
	if err != nil {
		return from, nil, ErrUnsealed
	}
	from, signature, body, err := take(plain)
	if err != nil {
		return address.Key{}, nil, err
	}
	if !from.Verify(signedHash(from, r, e, body), signature) {
		return address.Key{}, nil, ErrSignature
	}
	return from, body, nil
}

// Plausible reports whether payload has the size, the version and the first
// byte of a key that every sealed payload has. It costs nothing, and it is all
// that can be known without the private key.
func Plausible(payload []byte) bool {
	for _, size := range Buckets {
		if len(payload) == size {
			return payload[0] == Version && (payload[1] == 2 || payload[1] == 3)
		}
	}
	return false
}

// take takes a plaintext apart.
func take(plain []byte) (from address.Key, signature, body []byte, err error) {
	fail := func() (address.Key, []byte, []byte, error) { return address.Key{}, nil, nil, ErrContent }
	if from, err = address.KeyFromBytes(plain[:address.KeySize]); err != nil {
		return fail()
	}
	rest := plain[address.KeySize:]
	n := int(rest[0])
	if n < minSignature || n > maxSignature {
		return fail()
	}
	signature, rest = rest[1:1+n], rest[1+n:]
	b := int(binary.BigEndian.Uint16(rest))
	rest = rest[2:]
	if b > len(rest) {
		return fail()
	}
	for _, zero := range rest[b:] {
		if zero != 0 {
			return fail()
		}
	}
	return from, signature, rest[:b:b], nil
}

// derive makes the cipher and the nonce that belong to ephemeral key e and
// recipient r. One half of the pair is known in private, the other in public.
func derive(private address.PrivateKey, public, e, r address.Key) (cipher.AEAD, []byte, error) {
	secret, err := private.ECDH(public)
	if err != nil {
		return nil, nil, err
	}
	info := infoLabel + string(e.Bytes()) + string(r.Bytes())
	const size = chacha20poly1305.KeySize + chacha20poly1305.NonceSizeX
	okm, err := hkdf.Key(sha256.New, secret, nil, info, size)
	if err != nil {
		return nil, nil, err
	}
	aead, err := chacha20poly1305.NewX(okm[:chacha20poly1305.KeySize])
	if err != nil {
		return nil, nil, err
	}
	return aead, okm[chacha20poly1305.KeySize:], nil
}

func associated(e, r address.Key) []byte {
	ad := append([]byte{Version}, e.Bytes()...)
	return append(ad, r.Bytes()...)
}

// signedHash binds a body to everything that it was meant for.
func signedHash(s, r, e address.Key, body []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(signLabel))
	h.Write([]byte{Version})
	h.Write(s.Bytes())
	h.Write(r.Bytes())
	h.Write(e.Bytes())
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// bucket gives the smallest bucket that holds n bytes; n is at most MaxPayload.
func bucket(n int) int {
	for _, size := range Buckets {
		if n <= size {
			return size
		}
	}
	panic("seal: a body longer than MaxBody got through")
}
