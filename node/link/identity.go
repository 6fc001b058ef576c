// Package link makes a raw TCP connection into a proven one: TLS 1.3 whose
// certificates name the two nodes' keys, the token by which a callee that
// dials is recognised, and the nomination by which the caller chooses one link
// of an attempt.
//
// # On the wire
//
// A callee that dials sends first, in clear:
//
//	token = 16 bytes, the first of which has its high bit set
//
// so that whoever accepts can tell it from a TLS record (0x16) by one byte.
// Then the caller of the attempt is the TLS client, whoever dialled. Inside:
//
//	caller: nomination = version (1) ‖ purpose (1) ‖ attempt (16)
//	callee: verdict    = 1 byte: 0 admitted, 1 refused, 2 lost, 3 busy
//
// and after these the application's bytes. The caller does not wait for the
// verdict before it writes.
//
// # Certificates
//
// Each node makes an Ed25519 certificate for a few hours, with the extension
// 2.25.1406290742, whose value is
//
//	key (33, compressed secp256k1) ‖ expiry (8, seconds since 1970, big-endian) ‖ signature (DER)
//
// The signature is ECDSA by key over SHA-256 of the domain string, key, expiry
// and the certificate's Ed25519 public key. Nothing else in the certificate is
// looked at.
package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

const (
	certDomain = "sallyport link certificate v1\x00"
	// lifetime is how long an ephemeral certificate is good for. It is
	// replaced when half of it is over, so that a link that starts late still
	// has hours.
	lifetime = 6 * time.Hour
	// clockError is how far two clocks may be apart: each may be wrong by ten
	// minutes, as in signalling.
	clockError = 20 * time.Minute
)

var extensionID = asn1.ObjectIdentifier{2, 25, 1406290742}

// Identity makes the certificates with which a node proves its key. It is safe
// for concurrent use.
type Identity struct {
	key address.PrivateKey
	now func() time.Time

	mu      sync.Mutex
	cert    *tls.Certificate
	renewAt time.Time
}

// NewIdentity gives an identity for key. now may be nil, which means time.Now.
func NewIdentity(key address.PrivateKey, now func() time.Time) *Identity {
	if now == nil {
		now = time.Now
	}
	return &Identity{key: key, now: now}
}

// Key is the key that the identity proves.
func (id *Identity) Key() address.Key { return id.key.Public() }

// certificate gives the current ephemeral certificate, and a new one when half
// of the old one's life is over.
func (id *Identity) certificate() (*tls.Certificate, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	now := id.now()
	if id.cert != nil && now.Before(id.renewAt) {
		return id.cert, nil
	}
	cert, err := mint(id.key, now.Add(lifetime))
	if err != nil {
		return nil, err
	}
	id.cert, id.renewAt = cert, now.Add(lifetime/2)
	return cert, nil
}

// mint makes an Ed25519 certificate that names key until expiry.
func mint(key address.PrivateKey, expiry time.Time) (*tls.Certificate, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		// A certificate without times is not encodable; ours are not looked
		// at, and tell nothing about the clock.
		NotBefore:       time.Unix(0, 0),
		NotAfter:        time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 §4.1.2.5
		ExtraExtensions: []pkix.Extension{{Id: extensionID, Value: claim(key, expiry, pub)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, priv)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}

// claim is the extension's value: that key vouches for pub until expiry.
func claim(key address.PrivateKey, expiry time.Time, pub ed25519.PublicKey) []byte {
	value := binary.BigEndian.AppendUint64(key.Public().Bytes(), uint64(expiry.Unix()))
	return append(value, key.Sign(statement(value, pub))...)
}

// statement is what the node's key signs: head is key ‖ expiry.
func statement(head []byte, pub ed25519.PublicKey) [32]byte {
	h := sha256.New()
	h.Write([]byte(certDomain))
	h.Write(head)
	h.Write(pub)
	return [32]byte(h.Sum(nil))
}

// certified reads the key that a peer's certificate names, and checks the
// signature and the expiry. It proves nothing about the peer until the
// handshake has returned: only then has the peer shown the certificate's key.
func certified(certs []*x509.Certificate, now time.Time) (address.Key, error) {
	const head = address.KeySize + 8
	if len(certs) != 1 {
		return address.Key{}, fmt.Errorf("the peer sent %d certificates, not 1", len(certs))
	}
	pub, ok := certs[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return address.Key{}, errors.New("the peer's certificate has no Ed25519 key")
	}
	var value []byte
	for _, e := range certs[0].Extensions {
		if e.Id.Equal(extensionID) {
			value = e.Value
		}
	}
	if len(value) <= head || len(value) > head+72 {
		return address.Key{}, errors.New("the peer's certificate names no node")
	}
	who, err := address.KeyFromBytes(value[:address.KeySize])
	if err != nil {
		return address.Key{}, fmt.Errorf("the peer's certificate: %w", err)
	}
	if !who.Verify(statement(value[:head], pub), value[head:]) {
		return address.Key{}, errors.New("the peer's certificate is not signed by the node that it names")
	}
	seconds := binary.BigEndian.Uint64(value[address.KeySize:head])
	if limit := now.Add(lifetime + clockError).Unix(); seconds > uint64(limit) {
		return address.Key{}, errors.New("the peer's certificate lives too long (or the clocks differ by more than twenty minutes)")
	}
	if seconds < uint64(now.Add(-clockError).Unix()) {
		return address.Key{}, errors.New("the peer's certificate has expired (or the clocks differ by more than twenty minutes)")
	}
	return who, nil
}
