package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/node/session"
)

// duplex is what is measured: a net.Conn with half-close.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// pairs makes connections between two nodes.
type pairs struct {
	t    testing.TB
	a, b *link.Identity
}

func newIdentity(t testing.TB) *link.Identity {
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return link.NewIdentity(k, nil)
}

func (p *pairs) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// tcp gives the ends of a TCP connection over loopback.
func (p *pairs) tcp() (x, y duplex) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	p.must(err)
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	p.must(err)
	b, err := l.Accept()
	p.must(err)
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// tls gives the ends of a connection of crypto/tls as it is by default.
func (p *pairs) tls() (x, y duplex) { return p.tlsOver(p.tcp()) }

// tlsOver is that over any connection.
func (p *pairs) tlsOver(a, b duplex) (x, y duplex) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	p.must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, priv)
	p.must(err)
	conf := &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: priv}},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true,
	}
	client, server := tls.Client(a, conf), tls.Server(b, conf)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	p.must(errors.Join(client.Handshake(), <-done))
	return client, server
}

// linked gives the ends of a nominated link over a connection.
func (p *pairs) linked(x, y net.Conn, purpose link.Purpose) (caller, callee *link.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		l, err := link.Server(ctx, y, p.b)
		if err == nil {
			if _, _, err = l.Nomination(time.Now().Add(20 * time.Second)); err == nil {
				callee, err = l.Admit()
			}
		}
		done <- err
	}()
	l, err := link.Client(ctx, x, p.a, p.b.Key(), link.Token{})
	p.must(err)
	caller, err = l.Nominate([16]byte{1}, purpose)
	p.must(errors.Join(err, <-done))
	return caller, callee
}

// joined is a session's two ends.
type joined struct {
	p                *pairs
	opener, acceptor *session.Session
	came             chan *session.Stream
}

func (p *pairs) session(x, y net.Conn) *joined {
	j := &joined{p: p, came: make(chan *session.Stream, 16)}
	caller, callee := p.linked(x, y, link.Session)
	var err error
	j.opener, err = session.New(caller, session.Config{Opener: true, Attempt: [16]byte{1}})
	p.must(err)
	j.acceptor, err = session.New(callee, session.Config{Attempt: [16]byte{1},
		Accept: func(s *session.Stream) error { j.came <- s; return nil }})
	p.must(err)
	p.must(j.opener.Established())
	return j
}

func (j *joined) stream() (x, y duplex) {
	near, err := j.opener.Open(session.Application)
	j.p.must(err)
	return near, <-j.came
}

func (j *joined) close() {
	_ = j.opener.Close()
	_ = j.acceptor.Close()
}

// flow measures how many bytes a second go through a pair in writes of a size.
func (p *pairs) flow(x, y duplex, total, piece int) float64 {
	done := make(chan int64, 1)
	go func() {
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{y}, make([]byte, 64<<10))
		done <- n
	}()
	b := make([]byte, piece)
	began := time.Now()
	for left := total; left > 0; left -= piece {
		_, err := x.Write(b)
		p.must(err)
	}
	p.must(x.CloseWrite())
	if n := <-done; n != int64(total) {
		p.t.Fatalf("%d bytes of %d arrived", n, total)
	}
	return float64(total) / time.Since(began).Seconds()
}

// relayed gives the two ends of a connection through the relay.
func (p *pairs) relayed(server *relay.Server) (near, far net.Conn, end func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	a, err := relay.Allocate(ctx, relay.Place{Host: server.Addr().String(), Secret: "secret"}, relay.Config{})
	p.must(err)
	p.must(a.Permit(ctx, netip.MustParseAddr("127.0.0.1")))
	far, err = net.Dial("tcp", a.Addr().String())
	p.must(err)
	near, err = a.Accept(ctx)
	p.must(err)
	return near, far, func() { cancel(); _ = a.Close() }
}

// delayed gives the ends of a path that takes oneWayPath each way: two TCP
// connections, and between them a proxy that keeps what comes for so long.
func (p *pairs) delayed() (x, y duplex, end func()) {
	x, inner := p.tcp()
	outer, y := p.tcp()
	type late struct {
		at   time.Time
		data []byte
	}
	pass := func(from, to net.Conn) {
		line := make(chan late, 1<<14)
		go func() {
			b := make([]byte, 64<<10)
			for {
				n, err := from.Read(b)
				if n > 0 {
					line <- late{time.Now().Add(oneWayPath), bytes.Clone(b[:n])}
				}
				if err != nil {
					close(line)
					return
				}
			}
		}()
		for l := range line {
			time.Sleep(time.Until(l.at))
			_, _ = to.Write(l.data)
		}
		_ = to.Close()
	}
	go pass(inner, outer)
	go pass(outer, inner)
	return x, y, func() { _ = inner.Close(); _ = outer.Close() }
}
