package address

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Broker names a signalling broker: an index into the well-known list, or a
// URL of one's own. Exactly one of the two counts: URL where it is not empty,
// and then Index is 0. Brokers are comparable.
type Broker struct {
	Index int    // 0 to 65535
	URL   string // as ParseBroker gives it, at most MaxBrokerURL bytes
}

// brokerPorts has every scheme of a broker's URL, with the port that is meant
// where none is written.
var brokerPorts = map[string]int{
	"tcp": 1883, "mqtt": 1883, // MQTT in clear
	"ssl": 8883, "tls": 8883, "mqtts": 8883, // MQTT over TLS
	"ws": 80, "wss": 443, // MQTT over WebSocket, in clear and over TLS
}

// ParseBroker reads an index or a URL. A URL is made canonical: scheme and
// host in lower case, an IP address in its usual spelling, the port always
// written. It has a scheme out of tcp, mqtt, ssl, tls, mqtts, ws and wss, and
// a host; a path only for ws and wss. User names and passwords are refused,
// since addresses are public, and so are queries and fragments.
func ParseBroker(s string) (Broker, error) {
	if isDigits(s) {
		n, err := strconv.Atoi(s)
		if err != nil || n > maxIndex || (len(s) > 1 && s[0] == '0') {
			return Broker{}, fmt.Errorf("index %q is not 0 to %d", shorten(s, foundShown), maxIndex)
		}
		return Broker{Index: n}, nil
	}
	u, err := canonicalURL(s)
	if err != nil {
		return Broker{}, fmt.Errorf("%q: %w", shorten(s, foundShown), err)
	}
	return Broker{URL: u}, nil
}

// String gives what ParseBroker reads: the index or the URL.
func (b Broker) String() string {
	if b.URL != "" {
		return b.URL
	}
	return strconv.Itoa(b.Index)
}

// Validate reports whether b can be written into an address.
func (b Broker) Validate() error {
	if b.URL == "" {
		if b.Index < 0 || b.Index > maxIndex {
			return fmt.Errorf("index %d is not 0 to %d", b.Index, maxIndex)
		}
		return nil
	}
	if b.Index != 0 {
		return fmt.Errorf("%q has an index as well, %d", shorten(b.URL, foundShown), b.Index)
	}
	u, err := canonicalURL(b.URL)
	if err != nil {
		return fmt.Errorf("%q: %w", shorten(b.URL, foundShown), err)
	}
	if u != b.URL {
		return fmt.Errorf("%q must be written %q", b.URL, u)
	}
	return nil
}

// MarshalText gives what String gives, if b is valid.
func (b Broker) MarshalText() ([]byte, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// UnmarshalText reads what ParseBroker reads.
func (b *Broker) UnmarshalText(text []byte) error {
	v, err := ParseBroker(string(text))
	if err == nil {
		*b = v
	}
	return err
}

func canonicalURL(raw string) (string, error) {
	if len(raw) > MaxBrokerURL {
		return "", fmt.Errorf("expected a URL of at most %d bytes, not %d", MaxBrokerURL, len(raw))
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] > '~' {
			return "", errors.New("expected a URL of printable ASCII (names in other scripts are written in Punycode)")
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return "", errors.New("expected a URL as mqtts://host:port")
	}
	port, known := brokerPorts[u.Scheme]
	if !known {
		return "", errors.New("expected one of the schemes tcp, mqtt, ssl, tls, mqtts, ws and wss")
	}
	if u.User != nil {
		return "", errors.New("expected no user name or password, as addresses are public")
	}
	if strings.ContainsAny(raw, "?#") {
		return "", errors.New("expected no query and no fragment")
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return "", errors.New("expected a port of 1 to 65535")
		}
	}
	host, err := canonicalHost(u)
	if err != nil {
		return "", err
	}
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	if path != "" && u.Scheme != "ws" && u.Scheme != "wss" {
		return "", errors.New("expected no path, which only ws and wss have")
	}
	s := u.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)) + path
	if len(s) > MaxBrokerURL {
		return "", fmt.Errorf("expected a URL of at most %d bytes, not %d", MaxBrokerURL, len(s))
	}
	return s, nil
}

// canonicalHost gives the IP address or the name in lower case, without the
// brackets of an IPv6 address.
func canonicalHost(u *url.URL) (string, error) {
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
			return "", errors.New("expected an IPv6 address without a zone between [ and ]")
		}
		return ip.String(), nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return host, nil
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if len(l) < 1 || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", errors.New("expected a host name or an IP address")
		}
	}
	if isDigits(labels[len(labels)-1]) { // some resolvers take 127.1 for an address
		return "", errors.New("expected a host name or an IP address of four numbers")
	}
	return host, nil
}

// literalSpecial are the bytes of a URL that mean something else in the text
// form, and % itself.
const literalSpecial = "%-,[]|"

// encodeLiteral writes a URL for the text form.
func encodeLiteral(u string) string {
	var b strings.Builder
	for i := range len(u) {
		if strings.IndexByte(literalSpecial, u[i]) >= 0 {
			fmt.Fprintf(&b, "%%%02X", u[i])
		} else {
			b.WriteByte(u[i])
		}
	}
	return b.String()
}

// decodeLiteral undoes percent-encoding, of whichever bytes it was used for.
func decodeLiteral(s string) (string, error) {
	u, err := url.PathUnescape(s)
	if err != nil {
		return "", errors.New("expected two hex digits after %")
	}
	return u, nil
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
