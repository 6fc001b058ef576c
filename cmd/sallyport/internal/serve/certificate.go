package serve

import (
	"crypto/tls"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// certificate is a pair of files that may be replaced while it is in use, as
// certbot does every other month.
type certificate struct {
	chain, key string // the files
	log        *slog.Logger

	mu   sync.Mutex
	seen [2]fs.FileInfo // as they were when last tried
	pair *tls.Certificate
}

// loadCertificate reads the files for the first time.
func loadCertificate(chain, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{chain: chain, key: key, log: log}
	if _, err := c.load(); err != nil {
		return nil, &Error{
			what: "the certificate can't be used: " + inWords(err), misused: true, cause: err,
			hint: "try --cert with a PEM file of the chain, and --key-file with one of its private key",
		}
	}
	return c, nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}
}

// get gives the certificate for a handshake. It looks whether the files were
// replaced, which costs microseconds where the handshake costs a millisecond.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.reload()
	return c.current(), nil
}

func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair
}

// reload reads the files where they have changed. While the new ones are not
// good, or only one of them is new, the old ones are kept.
func (c *certificate) reload() {
	changed, err := c.load()
	switch {
	case err != nil:
		c.log.Warn("the new certificate can't be used, and the old one is kept", "file", c.chain, "error", err)
	case changed:
		c.log.Info("the certificate was replaced", "file", c.chain, "until", c.expiry())
	}
}

// reloadOnHangUp calls reload at every SIGHUP, until end is called.
func (c *certificate) reloadOnHangUp() (end func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			c.reload()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// load reports whether there are other files than when it was last called.
func (c *certificate) load() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var now [2]fs.FileInfo
	for n, file := range []string{c.chain, c.key} {
		// A file that is missing right now is no news: it is being replaced.
		if now[n], err = os.Stat(file); err != nil && c.pair != nil {
			return false, nil
		}
	}
	if c.pair != nil && same(now[0], c.seen[0]) && same(now[1], c.seen[1]) {
		return false, nil
	}
	c.seen = now
	pair, err := tls.LoadX509KeyPair(c.chain, c.key)
	if err != nil {
		return false, err
	}
	c.pair = &pair
	return true, nil
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// names reports whether the certificate is for host.
func (c *certificate) names(host string) bool { return c.current().Leaf.VerifyHostname(host) == nil }

func (c *certificate) expiry() time.Time { return c.current().Leaf.NotAfter }
