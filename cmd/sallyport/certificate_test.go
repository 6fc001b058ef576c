//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// certificate IP: make cert.pem and cert.key, self-signed.
func certificateCmd(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(writeCertificate(ts.MkAbs("."), args[0]))
}

// writeCertificate makes cert.pem and cert.key in dir.
func writeCertificate(dir, ip string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	write := func(name, kind string, b []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600)
	}
	return errors.Join(write("cert.pem", "CERTIFICATE", cert), write("cert.key", "PRIVATE KEY", private))
}

// A certificate is replaced with its files, both of them, while it is in use;
// what does not fit together is not used.
func TestCertificateIsReplaced(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	chain, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.key")
	if err := writeCertificate(dir, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	c, err := loadCertificate(chain, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	is := func(what, ip string) {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil || pair.Leaf.VerifyHostname(ip) != nil || !c.names(ip) {
			t.Errorf("%s: got the certificate of %v, %v; want that of %s", what, pair.Leaf.IPAddresses, err, ip)
		}
	}
	move := func(name string) {
		t.Helper()
		if err := os.Rename(filepath.Join(other, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	is("at first", "192.0.2.1")
	if c.names("192.0.2.2") {
		t.Error("any name is its own")
	}
	if err := writeCertificate(other, "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	move("cert.pem")
	is("with half of the new one", "192.0.2.1")
	move("cert.key")
	is("with the other half", "192.0.2.2")
	if err := os.Remove(chain); err != nil {
		t.Fatal(err)
	}
	is("with a file missing", "192.0.2.2")
	if err := os.WriteFile(chain, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	is("with rubbish", "192.0.2.2")
	if _, err := loadCertificate(chain, key, c.log); err == nil {
		t.Error("rubbish was loaded")
	}
}
