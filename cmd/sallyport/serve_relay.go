package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/sallyport-net/sallyport/node/relay"
)

// maxSecretFile bounds the file with the relay's secret.
const maxSecretFile = 256

// startRelay starts the relay, and gives the URL for others.
func (f *serveFlags) startRelay(host netip.Addr, name string) (*relay.Server, string, error) {
	secret, err := relaySecret(f.turnSecret)
	if err != nil {
		return nil, "", err
	}
	s, err := relay.NewServer(relay.ServerConfig{
		Listen: netip.AddrPortFrom(host, f.turn).String(), Relayed: relayedAddress(host, name),
		Secret: secret, AllowPrivate: f.turnPrivate,
	})
	if err != nil {
		return nil, "", failed(err, "try another port with --turn-port, or --no-turn", "the relay can't listen: %v", err)
	}
	at := net.JoinHostPort(name, strconv.Itoa(int(s.Addr().Port())))
	return s, relay.Place{Host: at, Secret: secret}.URL(), nil
}

// relayedAddress is where peers come to: a relay tells addresses, not names.
func relayedAddress(host netip.Addr, name string) netip.Addr {
	if a, err := netip.ParseAddr(name); err == nil {
		return a
	}
	if ip, err := net.ResolveIPAddr("ip", name); err == nil {
		if a, ok := netip.AddrFromSlice(ip.IP); ok && a.Unmap().Is4() == host.Is4() {
			return a.Unmap()
		}
	}
	if !host.IsUnspecified() {
		return host
	}
	a, _ := netip.ParseAddr(likelyAddress())
	return a
}

// relaySecret reads the secret in file, which is made if it is missing. Without
// a file the secret is new.
func relaySecret(file string) (string, error) {
	fresh := rand.Text()
	if file == "" {
		return fresh, nil
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = out.WriteString(fresh + "\n")
		if err = errors.Join(err, out.Close()); err == nil {
			return fresh, nil
		}
		_ = os.Remove(file)
	}
	if !errors.Is(err, fs.ErrExist) {
		return "", failed(err, "name another file with --turn-secret", "the relay's secret can't be kept in %q: %v", file, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", failed(err, "name another file with --turn-secret", "the relay's secret can't be read: %v", err)
	}
	secret := strings.TrimSpace(string(text))
	if len(text) > maxSecretFile || len(secret) < 8 || strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", misused("", "%q holds no secret: one line of 8 to %d printable characters is wanted", file, maxSecretFile-1)
	}
	return secret, nil
}
