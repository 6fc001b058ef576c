package node_test

import (
	"errors"
	"io"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/session"
)

// A tunnel's stream is told apart from the others before a byte of it has come,
// on a session that is new and on one that is there.
func TestTunnelsAreToldApart(t *testing.T) {
	cfg := local(t)
	cfg.Tunnels = true
	b := start(t, cfg)
	accepted := accepting(t, b)
	a := start(t, local(t))
	peer, err := address.Parse(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for k, open := range []func() (*node.Conn, error){
		func() (*node.Conn, error) { return a.Tunnel(shortly(t), peer) }, // first, with nothing known of the peer
		func() (*node.Conn, error) { return a.ConnectAddress(shortly(t), peer) },
		func() (*node.Conn, error) { return a.Tunnel(shortly(t), peer) },
	} {
		c, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		far := (<-accepted).(*node.Conn)
		defer far.Close()
		if want := k != 1; far.Tunnel() != want || c.Tunnel() != want {
			t.Errorf("stream %d is a tunnel's: %v here, %v there", k, c.Tunnel(), far.Tunnel())
		}
		if _, err := far.Write([]byte("first")); err != nil { // the acceptor speaks first
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "first" {
			t.Errorf("read %q, %v", got, err)
		}
	}
	if n := len(a.Sessions()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// A node that is not for tunnels refuses them, and its Accept never sees one.
func TestTunnelsAreRefused(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	a := start(t, cfg)
	peer, err := address.Parse(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Tunnel(shortly(t), peer)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, session.ErrNotServed) {
		t.Errorf("read gave %v", err)
	}
	if len(accepted) > 0 {
		t.Error("the application sees a tunnel")
	}
}

// PingAnew calls a peer with which there is a session.
func TestPingAnew(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepting(t, b)
	a := start(t, cfg)
	peer, err := address.Parse(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.Ping(shortly(t), peer)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	anew, err := a.PingAnew(shortly(t), peer)
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	if err := anew.Verdict(); err != nil || anew.Session() == first.Session() || len(anew.Timeline()) < 2 {
		t.Errorf("verdict %v, the same session: %v, timeline %v", err, anew.Session() == first.Session(), anew.Timeline())
	}
}
