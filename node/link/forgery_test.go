package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// plainCertificate is a good Ed25519 certificate without our extension.
func plainCertificate(t *testing.T) *tls.Certificate { return withExtension(t, nil) }

// forged names victim, but is signed by somebody else's key.
func forged(t *testing.T, victim address.Key) *tls.Certificate {
	return withExtension(t, func(pub ed25519.PublicKey) []byte {
		head := append(victim.Bytes(), binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(time.Hour).Unix()))...)
		return append(head, newKey(t).Sign(statement(head, pub))...)
	})
}

func withExtension(t *testing.T, value func(ed25519.PublicKey) []byte) *tls.Certificate {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if value != nil {
		template.ExtraExtensions = []pkix.Extension{{Id: extensionID, Value: value(pub)}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}
}
