package address

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/mr-tron/base58"
)

// KeySize is the length of a compressed secp256k1 public key in bytes.
const KeySize = 33

// Key is a node's public key: a compressed point on secp256k1, and a node's
// whole identity. A Key that came from ParseKey or KeyFromBytes is on the
// curve; the zero Key is nobody. Keys are comparable.
type Key struct{ b [KeySize]byte }

// KeyFromBytes takes the 33 bytes of a compressed public key. It refuses
// anything that is not a point on the curve.
func KeyFromBytes(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("a public key has %d bytes, not %d", KeySize, len(b))
	}
	if _, err := secp256k1.ParsePubKey(b); err != nil {
		return Key{}, errors.New("not a point on secp256k1")
	}
	return Key{[KeySize]byte(b)}, nil
}

// ParseKey reads a node id: base58 of the compressed public key.
func ParseKey(s string) (Key, error) {
	const longest = 46                   // base58 of 33 bytes of which the first is 2 or 3 has 44 or 45
	if len(s) == 0 || len(s) > longest { // before base58, whose work grows with the square
		return Key{}, fmt.Errorf("a node id has 44 or 45 characters, not %d", len(s))
	}
	b, err := base58.Decode(s)
	if err != nil {
		return Key{}, fmt.Errorf("node id %q is not base58", s)
	}
	k, err := KeyFromBytes(b)
	if err != nil {
		return Key{}, fmt.Errorf("node id %q: %w", s, err)
	}
	return k, nil
}

// String gives the node id, base58 of the compressed key; "" for the zero Key.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return base58.Encode(k.b[:])
}

// Short gives the first eight characters of the node id, for logs.
func (k Key) Short() string {
	s := k.String()
	if len(s) > 8 {
		s = s[:8]
	}
	return s
}

// IsZero reports whether k is nobody.
func (k Key) IsZero() bool { return k == Key{} }

// MarshalText gives what String gives.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what ParseKey reads, and an empty text as the zero Key.
func (k *Key) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*k = Key{}
		return nil
	}
	v, err := ParseKey(string(b))
	if err == nil {
		*k = v
	}
	return err
}

// Bytes gives the 33 bytes of the compressed key.
func (k Key) Bytes() []byte { return append([]byte(nil), k.b[:]...) }

// Verify reports whether sig is a DER-encoded ECDSA signature of the 32-byte
// hash by k.
func (k Key) Verify(hash [32]byte, sig []byte) bool {
	pub, err := secp256k1.ParsePubKey(k.b[:])
	if err != nil {
		return false
	}
	s, err := ecdsa.ParseDERSignature(sig)
	return err == nil && s.Verify(hash[:], pub)
}

// PrivateKey is the secret half of a Key. It prints as its public half only.
type PrivateKey struct {
	k   *secp256k1.PrivateKey
	pub Key
}

// GenerateKey makes a new identity from the system's randomness.
func GenerateKey() (PrivateKey, error) {
	k, err := secp256k1.GeneratePrivateKeyFromRand(rand.Reader)
	if err != nil {
		return PrivateKey{}, err
	}
	return newPrivateKey(k), nil
}

// PrivateKeyFromBytes takes a 32-byte scalar in [1, n-1].
func PrivateKeyFromBytes(b []byte) (PrivateKey, error) {
	if len(b) != 32 {
		return PrivateKey{}, fmt.Errorf("a private key has 32 bytes, not %d", len(b))
	}
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(b); overflow || s.IsZero() {
		return PrivateKey{}, errors.New("not a private key of secp256k1")
	}
	return newPrivateKey(secp256k1.NewPrivateKey(&s)), nil
}

func newPrivateKey(k *secp256k1.PrivateKey) PrivateKey {
	return PrivateKey{k: k, pub: Key{[KeySize]byte(k.PubKey().SerializeCompressed())}}
}

// Public gives the key that others know.
func (p PrivateKey) Public() Key { return p.pub }

// IsZero reports whether p holds no key.
func (p PrivateKey) IsZero() bool { return p.k == nil }

// Bytes gives the 32-byte scalar, nil for the zero PrivateKey. Whoever holds it
// is the node.
func (p PrivateKey) Bytes() []byte {
	if p.IsZero() {
		return nil
	}
	return p.k.Serialize()
}

// Sign signs a 32-byte hash with ECDSA (RFC 6979 nonces, low S) and gives the
// signature in DER, at most 72 bytes; nil, which verifies nowhere, for the zero
// PrivateKey.
func (p PrivateKey) Sign(hash [32]byte) []byte {
	if p.IsZero() {
		return nil
	}
	return ecdsa.Sign(p.k, hash[:]).Serialize()
}

// ECDH gives the x coordinate of the shared point, 32 bytes. It is not
// uniform: never use it as a key without HKDF. A zero key on either side is an
// error.
func (p PrivateKey) ECDH(peer Key) ([]byte, error) {
	if p.IsZero() {
		return nil, errors.New("no private key")
	}
	pub, err := secp256k1.ParsePubKey(peer.b[:])
	if err != nil {
		return nil, errors.New("not a point on secp256k1")
	}
	return secp256k1.GenerateSharedSecret(p.k, pub), nil
}

// Format keeps the scalar out of logs, whatever the verb.
func (p PrivateKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "private key of "+p.pub.String())
}
