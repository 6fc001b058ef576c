package address

import (
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
	b, want := readBroker(s)
	if want != "" {
		return Broker{}, fmt.Errorf("broker %q: expected %s", shorten(s, foundShown), want)
	}
	return b, nil
}

func readBroker(s string) (b Broker, want string) {
	if isDigits(s) {
		n, err := strconv.Atoi(s)
		if err != nil || n > maxIndex || (len(s) > 1 && s[0] == '0') {
			return Broker{}, fmt.Sprintf("an index of 0 to %d without leading zeros", maxIndex)
		}
		return Broker{Index: n}, ""
	}
	b.URL, want = canonicalURL(s)
	return b, want
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
	if b.URL != "" && b.Index != 0 {
		return fmt.Errorf("broker %q has an index as well, %d", shorten(b.URL, foundShown), b.Index)
	}
	if b.Index < 0 || b.Index > maxIndex {
		return fmt.Errorf("broker index %d is not 0 to %d", b.Index, maxIndex)
	}
	if b.URL == "" {
		return nil
	}
	switch u, want := canonicalURL(b.URL); {
	case want != "":
		return fmt.Errorf("broker %q: expected %s", shorten(b.URL, foundShown), want)
	case u != b.URL:
		return fmt.Errorf("broker %q must be written %q", b.URL, u)
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

// canonicalURL gives the only spelling of a broker's URL that an address has;
// where raw is none, want says what was expected.
func canonicalURL(raw string) (canonical, want string) {
	if len(raw) > MaxBrokerURL {
		return "", fmt.Sprintf("a URL of at most %d bytes, not %d", MaxBrokerURL, len(raw))
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] > '~' {
			return "", "a URL of printable ASCII (names in other scripts are written in Punycode)"
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return "", "an index, or a URL as mqtts://host:port"
	}
	port, known := brokerPorts[u.Scheme]
	if !known {
		return "", "one of the schemes tcp, mqtt, ssl, tls, mqtts, ws and wss"
	}
	if u.User != nil {
		return "", "no user name or password, as addresses are public"
	}
	if strings.ContainsAny(raw, "?#") {
		return "", "no query and no fragment"
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return "", "a port of 1 to 65535"
		}
	}
	host, want := canonicalHost(u)
	if want != "" {
		return "", want
	}
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	if path != "" && u.Scheme != "ws" && u.Scheme != "wss" {
		return "", "no path, which only ws and wss have"
	}
	s := u.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)) + path
	if len(s) > MaxBrokerURL {
		return "", fmt.Sprintf("a URL of at most %d bytes, not %d", MaxBrokerURL, len(s))
	}
	return s, ""
}

// canonicalHost gives the IP address or the name in lower case, without the
// brackets of an IPv6 address.
func canonicalHost(u *url.URL) (host, want string) {
	host = strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
			return "", "an IPv6 address without a zone between [ and ]"
		}
		return ip.String(), ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return host, ""
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if len(l) < 1 || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", "a host name or an IP address"
		}
	}
	if isDigits(labels[len(labels)-1]) { // some resolvers take 127.1 for an address
		return "", "a host name or an IP address of four numbers"
	}
	return host, ""
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

// parseLiteral reads an index, or a URL in which any byte may be
// percent-encoded. Where it is neither, want says what was expected.
func parseLiteral(s string) (b Broker, want string) {
	raw := s
	if !isDigits(s) {
		var err error
		if raw, err = url.PathUnescape(s); err != nil {
			return Broker{}, "two hex digits after %"
		}
		if isDigits(raw) {
			return Broker{}, "an index without percent-encoding"
		}
	}
	return readBroker(raw)
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
