package brokertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is one for a broker or a relay over TLS, signed by itself and good
// for an hour.
type Certificate struct {
	leaf *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CertificateFor makes one for these hosts: names or IP addresses.
func CertificateFor(t testing.TB, hosts ...string) *Certificate {
	t.Helper()
	c, err := NewCertificate(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// NewCertificate is CertificateFor where there is no testing.TB.
func NewCertificate(hosts ...string) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &Certificate{leaf, key}, err
}

// Server is the configuration of who has the certificate.
func (c *Certificate) Server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.leaf.Raw}, PrivateKey: c.key}}, MinVersion: tls.VersionTLS12}
}

// Client is the configuration of who trusts it.
func (c *Certificate) Client() *tls.Config { return &tls.Config{RootCAs: c.Pool()} }

// Pool is what it is checked against.
func (c *Certificate) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.leaf)
	return pool
}

// Write makes cert.pem and cert.key of it, in a folder.
func (c *Certificate) Write(dir string) error {
	private, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return err
	}
	write := func(name, kind string, b []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600)
	}
	return errors.Join(write("cert.pem", "CERTIFICATE", c.leaf.Raw), write("cert.key", "PRIVATE KEY", private))
}
