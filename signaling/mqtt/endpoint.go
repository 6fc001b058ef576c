package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// endpoint is one URL of a broker, checked.
type endpoint struct {
	url    *url.URL // with credentials, if any
	secure bool
	ws     bool
	host   string // without port and brackets
	port   string
}

// literalEndpoint is the default of Config.Endpoints.
func literalEndpoint(b address.Broker) ([]string, error) {
	if b.URL == "" {
		return nil, fmt.Errorf("no URL is known for broker %d", b.Index)
	}
	return []string{b.URL}, nil
}

// parseEndpoint reads a broker's URL. Its errors don't repeat it: it may hold
// credentials.
func parseEndpoint(s string) (endpoint, error) {
	const longest = 512
	if len(s) > longest {
		return endpoint{}, fmt.Errorf("a broker URL has at most %d characters, not %d", longest, len(s))
	}
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, fmt.Errorf("a broker URL that is no URL")
	}
	e := endpoint{url: u, host: u.Hostname(), port: u.Port()}
	var port string
	switch u.Scheme {
	case "tcp", "mqtt":
		port = "1883"
	case "tls", "ssl", "mqtts":
		port, e.secure = "8883", true
	case "ws":
		port, e.ws = "80", true
	case "wss":
		port, e.secure, e.ws = "443", true, true
	default:
		return endpoint{}, fmt.Errorf("broker URL with scheme %q, which is none of tcp, mqtt, tls, ssl, mqtts, ws, wss", u.Scheme)
	}
	if e.port == "" {
		e.port = port
	}
	if n, err := strconv.ParseUint(e.port, 10, 16); err != nil || n == 0 {
		return endpoint{}, fmt.Errorf("broker URL with port %q", e.port)
	}
	// A host that is no ASCII, as an IPv6 zone may be, would be printed as what
	// can't be read again.
	if h := e.host; h == "" || strings.ContainsAny(h, "/[]") || strings.ContainsFunc(h, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return endpoint{}, fmt.Errorf("broker URL with host %q", e.host)
	}
	switch {
	case !e.ws && strings.Trim(u.Path, "/") != "":
		return endpoint{}, fmt.Errorf("broker URL with path %q, which only ws and wss have", u.Path)
	case e.ws && u.Path == "":
		u.Path = "/mqtt" // what most brokers answer on
	}
	u.Fragment, u.RawFragment = "", ""
	return e, nil
}

// String is the URL without credentials.
func (e endpoint) String() string {
	u := *e.url
	u.User = nil
	return u.String()
}

func (e endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// dial opens a connection up to, but without, MQTT. The wire is also given
// when an error is, if it came so far.
func (e endpoint) dial(ctx context.Context, c *Config) (net.Conn, *wire, error) {
	raw, took, err := e.reach(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	w := newWire(raw, c.KeepAlive+c.PingTimeout, c.WriteTimeout)
	w.dialled = took
	// Whoever waits on the connection is woken by its end.
	defer context.AfterFunc(ctx, func() { w.abort(context.Cause(ctx)) })()

	var conn net.Conn = w
	if e.secure {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.TLS != nil {
			cfg = c.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = e.host
		}
		t := tls.Client(conn, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, w, w.explain(err)
		}
		conn = t
	}
	if e.ws {
		ws, err := e.upgrade(ctx, conn)
		if err != nil {
			return nil, w, w.explain(err)
		}
		conn = ws
	}
	return conn, w, nil
}

// reach makes the TCP connection. Where nothing answers for half of the time it
// begins anew: the kernel repeats a SYN at growing distances, so that a network
// that is back would be found out seconds later.
func (e endpoint) reach(ctx context.Context, c *Config) (conn net.Conn, took time.Duration, err error) {
	half, end := context.WithTimeout(ctx, c.ConnectTimeout/2)
	defer end()
	for _, ctx := range []context.Context{half, ctx} {
		begun := time.Now()
		conn, err = c.Dial(ctx, "tcp", e.address())
		if took = time.Since(begun); err == nil || half.Err() == nil {
			break
		}
	}
	return conn, took, err
}
