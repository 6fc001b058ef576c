package serve

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

func writeCertificate(t *testing.T, dir, ip string) {
	t.Helper()
	if err := brokertest.CertificateFor(t, ip).Write(dir); err != nil {
		t.Fatal(err)
	}
}

// A certificate is replaced with its files, both of them, while it is in use;
// what does not fit together is not used.
func TestCertificateIsReplaced(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	chain, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.key")
	writeCertificate(t, dir, "192.0.2.1")
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
	writeCertificate(t, other, "192.0.2.2")
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
