package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
)

// dialLink makes a proven link to a node on loopback, without nominating it.
func dialLink(t *testing.T, ctx context.Context, id *link.Identity, text string) *link.Link {
	t.Helper()
	peer, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", peer.V4[0].InternalEndpoint().String())
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.Client(ctx, conn, id, peer.Key, link.Token{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// nominate begins a session on a link, with one stream.
func nominate(t *testing.T, l *link.Link, attempt [16]byte) *session.Stream {
	t.Helper()
	c, err := l.Nominate(attempt, link.Session)
	if err != nil {
		t.Fatal(err)
	}
	_, stream, err := session.Begin(c, session.Config{Opener: true, Attempt: attempt}, session.Application)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// The callee takes one link of an attempt: the first nomination wins, and every
// later one is told that it is lost.
func TestSecondNominationIsLost(t *testing.T) {
	b := start(t, local(t))
	accepted := accepting(t, b)
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	ctx, id := shortly(t), link.NewIdentity(key, nil)
	first, second := dialLink(t, ctx, id, b.Addr().String()), dialLink(t, ctx, id, b.Addr().String())
	attempt := [16]byte{1}
	one := nominate(t, first, attempt)
	defer one.Close()
	if err := one.Verdict(); err != nil {
		t.Fatal(err)
	}
	peer := <-accepted
	defer peer.Close()
	two := nominate(t, second, attempt)
	defer two.Close()
	if _, err := two.Read(make([]byte, 1)); !errors.Is(err, link.ErrLost) {
		t.Errorf("the second nomination's read gave %v, want %v", err, link.ErrLost)
	}
	if len(accepted) > 0 {
		t.Error("one attempt gave the application two connections")
	}
	// The first one is none the worse for it.
	if _, err := one.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// A link that nobody nominates never reaches the application.
func TestUnnominatedLinkIsNotAccepted(t *testing.T) {
	b := start(t, local(t))
	accepted := accepting(t, b)
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	ctx, id := shortly(t), link.NewIdentity(key, nil)
	idle := dialLink(t, ctx, id, b.Addr().String())
	defer idle.Close()
	other := nominate(t, dialLink(t, ctx, id, b.Addr().String()), [16]byte{2})
	defer other.Close()
	if err := other.Verdict(); err != nil {
		t.Fatal(err)
	}
	peer := <-accepted
	defer peer.Close()
	if peer.RemoteAddr().String() != other.LocalAddr().String() || len(accepted) > 0 {
		t.Errorf("accepted %v, and %d more; want %v alone", peer.RemoteAddr(), len(accepted), other.LocalAddr())
	}
}

// What is forged on a session's link is counted where the node shows the session,
// and costs it that link.
func TestForgeryIsShown(t *testing.T) {
	b := start(t, local(t))
	accepted := accepting(t, b)
	events := b.Events(shortly(t))
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialLink(t, shortly(t), link.NewIdentity(key, nil), b.Addr().String()).Nominate([16]byte{3}, link.Session)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := session.New(c, session.Config{Opener: true, Attempt: [16]byte{3}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stream, err := s.Open(session.Application)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Verdict(); err != nil {
		t.Fatal(err)
	}
	peer := <-accepted
	defer peer.Close()
	until(t, events, whatever[node.Connected])
	if all := b.Sessions(); len(all) != 1 || all[0].Forged != 0 {
		t.Fatalf("before it: %+v", all)
	}
	if _, err := c.NetConn().Write(append([]byte{23, 3, 3, 0, 64}, make([]byte, 64)...)); err != nil { // a TLS record
		t.Fatal(err)
	}
	until(t, events, whatever[node.PathLost])
	all := b.Sessions()
	for end := time.Now().Add(time.Minute); len(all) == 1 && all[0].Forged == 0 && time.Now().Before(end); all = b.Sessions() {
		time.Sleep(time.Millisecond) // a write may find the link's end before who reads can say why
	}
	if len(all) != 1 || all[0].Forged != 1 || all[0].Duds != 0 || all[0].Alive {
		t.Errorf("after it: %+v", all)
	}
}
