package serve

import (
	"crypto/rand"
	"crypto/tls"
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

// startRelay starts the relay, unless there is to be none.
func startRelay(s *Server) (*service, error) {
	cfg := s.cfg.Relay
	if cfg.Off {
		return nil, nil
	}
	secret, err := relaySecret(cfg.SecretFile)
	if err != nil {
		return nil, err
	}
	place := relay.Place{Secret: secret}
	var secure *tls.Config
	if s.certificate != nil {
		secure = s.certificate.config()
		place.TLS = s.certificate.names(s.names[0])
	}
	server, err := relay.NewServer(relay.ServerConfig{
		TLS: secure, Listen: netip.AddrPortFrom(s.hosts[0], cfg.Port).String(), Relayed: relayedAddress(s.hosts[0], s.names[0]),
		Secret: secret, AllowPrivate: cfg.AllowPrivate, FirstPort: cfg.FirstPort, LastPort: cfg.LastPort,
		Total: cfg.MaxAllocations, PerIP: cfg.MaxPerAddress, Rate: cfg.Rate, Bytes: cfg.MaxBytes, MaxAge: cfg.MaxAge,
		Open: s.sockets.Open, Logger: s.log.With("service", "relay"),
	})
	if err != nil {
		return nil, cannotListen(err, "the relay", "try another port with --turn-port, or --no-turn")
	}
	place.Host = net.JoinHostPort(s.names[0], strconv.Itoa(int(server.Addr().Port())))
	s.places.TURN = place.URL()
	return &service{
		stop:  server.Stop,
		idle:  func() bool { return server.Allocations() == 0 },
		close: func() { _ = server.Close() },
		metrics: func() []metric {
			st := server.Stats()
			return []metric{
				{"sallyport_relay_clients", "Connections of clients that are open.", float64(st.Clients)},
				{"sallyport_relay_allocations", "Allocations that exist.", float64(st.Allocations)},
				{"sallyport_relay_allocated_total", "Allocations that were granted.", float64(st.Allocated)},
				{"sallyport_relay_bytes_total", "Bytes relayed, both ways together.", float64(st.Bytes)},
				{"sallyport_relay_unauthorized_total", "Requests with credentials that are wrong or over.", float64(st.Unauthorized)},
				{"sallyport_relay_over_quota_total", "Allocations refused because of a quota.", float64(st.OverQuota)},
				{"sallyport_relay_peers_refused_total", "Permissions refused because of the peer's address.", float64(st.PeersRefused)},
				{"sallyport_relay_turned_away_total", "Connections over a limit, closed at once.", float64(st.TurnedAway)},
			}
		},
	}, nil
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
		return "", failed(err, "try another file with --turn-secret", "the relay's secret can't be kept: %s", inWords(err))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", failed(err, "try another file with --turn-secret", "the relay's secret can't be read: %s", inWords(err))
	}
	secret := strings.TrimSpace(string(text))
	if len(text) > maxSecretFile || len(secret) < 8 || strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", misused("try a file that is not there yet, and is made", "%q holds no secret: one line of 8 to %d printable characters is wanted", file, maxSecretFile-1)
	}
	return secret, nil
}
