package relay

import (
	"context"
	"crypto/tls"
	"net"
)

// server is where connections to one relay are made.
type server struct {
	at     string // "host:port"
	dialer net.Dialer
	tls    *tls.Config // nil: plain TCP
}

func newServer(p Place, cfg Config) server {
	s := server{at: p.Host, dialer: cfg.Dialer}
	if p.TLS {
		s.tls = &tls.Config{ServerName: p.name(), RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12}
	}
	return s
}

// wire is a connection to a relay: TCP, or TLS over it.
type wire struct {
	net.Conn
	tcp *net.TCPConn
}

func (s server) dial(ctx context.Context) (wire, error) {
	conn, err := s.dialer.DialContext(ctx, "tcp", s.at)
	if err != nil {
		return wire{}, err
	}
	w := wire{conn, conn.(*net.TCPConn)}
	if s.tls == nil {
		return w, nil
	}
	secure := tls.Client(conn, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return wire{}, err
	}
	w.Conn = secure
	return w, nil
}

// NetConn is the connection beneath: TCP, or TLS.
func (w wire) NetConn() net.Conn { return w.Conn }

// CloseWrite says that no more is written.
func (w wire) CloseWrite() error {
	return w.Conn.(interface{ CloseWrite() error }).CloseWrite()
}
