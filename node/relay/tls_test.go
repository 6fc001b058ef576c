package relay_test

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

// One port takes clients with TLS and without, and they meet.
func TestOverTLS(t *testing.T) {
	cert := brokertest.CertificateFor(t, "relay.test")
	s, plain := serve(t, func(c *relay.ServerConfig) { c.TLS = cert.Server() })
	secure := plain
	secure.TLS, secure.Name = true, "relay.test"
	host, err := relay.Allocate(shortly(t), secure, relay.Config{Roots: cert.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	l := lend(t, host, "guest")
	if !l.TLS || l.Name != "relay.test" {
		t.Errorf("lent %+v", l)
	}
	guest, err := relay.Allocate(shortly(t), l, relay.Config{Roots: cert.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guest.Close() })
	for _, g := range []*relay.Allocation{guest, allocate(t, plain)} {
		near, far := meet(t, host, g)
		carries(t, near, far)
		ends(t, near, far)
		_ = near.Close()
	}
	if err := host.Permit(shortly(t), loopback); err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("tcp", host.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := host.Accept(shortly(t))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	carries(t, near, far)
	_ = s.Close()
	_ = near.SetReadDeadline(time.Now().Add(time.Minute))
	var timeout net.Error
	if _, err := near.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("read gave %v after the server's end", err)
	}
}

// A certificate that is not the relay's, or of nobody known, is refused; so is
// TLS where the server has none.
func TestCertificateIsChecked(t *testing.T) {
	cert := brokertest.CertificateFor(t, "relay.test")
	_, known := serve(t, func(c *relay.ServerConfig) { c.TLS = cert.Server() })
	_, without := serve(t)
	for name, c := range map[string]struct {
		at, name string
		roots    *x509.CertPool
		want     string
	}{
		"another name": {known.Host, "other.test", cert.Pool(), "not other.test"},
		"unknown":      {known.Host, "relay.test", nil, "certificate"},
		"no TLS there": {without.Host, "relay.test", cert.Pool(), ""},
	} {
		_, err := relay.Allocate(shortly(t), relay.Place{Host: c.at, Name: c.name, TLS: true, Secret: secret}, relay.Config{Roots: c.roots})
		var e *relay.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(e.Hint(), "--turn") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
