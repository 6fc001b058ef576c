package node_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
)

// spy is a node that relays, made of its parts, which keeps what it passes on.
type spy struct {
	t        *testing.T
	key      address.PrivateKey
	identity *link.Identity
	self     address.Address
	streams  chan *session.Stream
	seen     bytes.Buffer

	mu      sync.Mutex
	dialled []address.Key // by whom it was
}

// startSpy listens on loopback, for callers who know its address.
func startSpy(t *testing.T, cfg node.Config) *spy {
	t.Helper()
	k := newNodeKey(t)
	helper := start(t, cfg) // of which the address has the right form
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{t: t, key: k, identity: link.NewIdentity(k, nil), self: helper.Address(), streams: make(chan *session.Stream, 16)}
	s.self.Key = k.Public()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	for n := range s.self.V4 {
		s.self.V4[n].Port, s.self.V4[n].ExternalPort = port, 0
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := s.serve(conn); err != nil {
				t.Logf("the spy: %v", err)
			}
		}
	}()
	return s
}

// serve begins a session with who has dialled.
func (s *spy) serve(conn net.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := link.Server(ctx, conn, s.identity)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.dialled = append(s.dialled, l.Peer())
	s.mu.Unlock()
	attempt, _, err := l.Nomination(time.Now().Add(time.Minute))
	if err != nil {
		return err
	}
	c, err := l.Admit()
	if err != nil {
		return err
	}
	x, err := session.New(c, session.Config{Attempt: attempt, Accept: func(t *session.Stream) error { s.streams <- t; return nil }})
	if err == nil {
		s.t.Cleanup(func() { _ = x.Close() })
	}
	return err
}

// session begins one with a node on loopback, with a stream of that kind.
func (s *spy) session(text string, kind session.Kind) (*session.Session, *session.Stream) {
	s.t.Helper()
	c, err := dialLink(s.t, shortly(s.t), s.identity, text).Nominate([16]byte{7}, link.Session)
	if err != nil {
		s.t.Fatal(err)
	}
	x, first, err := session.Begin(c, session.Config{Opener: true, Attempt: [16]byte{7}, Accept: func(t *session.Stream) error { s.streams <- t; return nil }}, kind)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = x.Close() })
	return x, first
}

// overheard writes what is read down.
type overheard struct {
	*session.Stream
	by *bytes.Buffer
}

func (o overheard) Read(p []byte) (int, error) {
	n, err := o.Stream.Read(p)
	o.by.Write(p[:n])
	return n, err
}
