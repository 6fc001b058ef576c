package relay

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Place is a TURN server and what opens it: either a user and a password, or
// the secret from which they are made (see Credentials).
type Place struct {
	Host           string // "host:port"
	TLS            bool   // to be reached by TLS, and its certificate to be checked
	Name           string // that the certificate is for; empty: the host of Host
	User, Password string
	Secret         string
}

// DefaultPort is a TURN server's where a URL names none (RFC 7065 §3.1), and
// DefaultTLSPort is where it begins with turns:.
const (
	DefaultPort    = 3478
	DefaultTLSPort = 5349
)

const (
	maxURL    = 1024 // bytes
	maxSecret = 256  // bytes of a secret, a user or a password
)

// ParseURL reads
//
//	turn:SECRET@HOST[:PORT]
//	turn:USER:PASSWORD@HOST[:PORT]
//
// or the same with turns: for TLS. It is RFC 7065's form with the credentials of RFC 3986 in front; what is
// neither a letter nor a digit nor one of -._~ in them may be, and : @ / ? # %
// must be, percent-encoded. ?transport=tcp may follow, and is meant anyway.
// Errors never repeat a secret.
func ParseURL(text string) (Place, error) {
	if len(text) > maxURL {
		return Place{}, fmt.Errorf("a relay's URL of %d bytes, at most %d", len(text), maxURL)
	}
	scheme, rest, _ := strings.Cut(text, ":")
	if scheme != "turn" && scheme != "turns" {
		return Place{}, errors.New("expected turn:SECRET@HOST:PORT or turn:USER:PASSWORD@HOST:PORT")
	}
	p := Place{TLS: scheme == "turns"}
	port := DefaultPort
	if p.TLS {
		port = DefaultTLSPort
	}
	rest, query, asked := strings.Cut(rest, "?")
	if asked && query != "transport=tcp" {
		return Place{}, errors.New("of what may follow a ?, only transport=tcp is supported")
	}
	who, host, ok := strings.Cut(rest, "@")
	if !ok {
		return Place{}, errors.New("no credentials: expected turn:SECRET@HOST:PORT or turn:USER:PASSWORD@HOST:PORT")
	}
	var err error
	if p.Host, err = hostPort(host, port); err != nil {
		return Place{}, err
	}
	user, password, both := strings.Cut(who, ":")
	if both {
		if p.User, err = credential("user", user); err != nil {
			return Place{}, err
		}
		p.Password, err = credential("password", password)
	} else {
		p.Secret, err = credential("secret", user)
	}
	if err != nil {
		return Place{}, err
	}
	return p, nil
}

func credential(name, text string) (string, error) {
	s, err := url.PathUnescape(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("the %s has a %% that is no percent-encoding", name)
	case s == "":
		return "", fmt.Errorf("the %s is empty", name)
	case len(s) > maxSecret:
		return "", fmt.Errorf("the %s has %d bytes, at most %d", name, len(s), maxSecret)
	case strings.ContainsAny(text, ":/#"):
		return "", fmt.Errorf("the %s has a : / or # that is not percent-encoded", name)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return "", fmt.Errorf("the %s is not printable", name)
	}
	return s, nil
}

func hostPort(s string, usual int) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), strconv.Itoa(usual)
		if strings.Contains(host, ":") && !strings.HasPrefix(s, "[") {
			return "", fmt.Errorf("%q is not HOST:PORT", s)
		}
	}
	if host == "" || strings.ContainsAny(host, "@/[]% \t") {
		return "", fmt.Errorf("%q is not HOST:PORT", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("port %q is not 1 to 65535", port)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// URL is what ParseURL reads, credentials included.
func (p Place) URL() string {
	who := url.QueryEscape(p.Secret)
	if p.Secret == "" {
		who = url.QueryEscape(p.User) + ":" + url.QueryEscape(p.Password)
	}
	return p.scheme() + strings.ReplaceAll(who, "+", "%20") + "@" + p.Host
}

// String names the server, without its credentials.
func (p Place) String() string { return p.scheme() + p.Host }

func (p Place) scheme() string {
	if p.TLS {
		return "turns:"
	}
	return "turn:"
}

// name is that of the certificate; empty without TLS.
func (p Place) name() string {
	if !p.TLS || p.Name != "" {
		return p.Name
	}
	host, _, _ := net.SplitHostPort(p.Host)
	return host
}

// credentials are those to use now.
func (p Place) credentials(now time.Time) (user, password string) {
	if p.Secret != "" {
		return Credentials(p.Secret, "sallyport", now.Add(validity))
	}
	return p.User, p.Password
}
