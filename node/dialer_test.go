package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
)

// TestConnIsAGoodConn holds connections that a Dialer makes and Accept gives
// against what net.Conn promises.
func TestConnIsAGoodConn(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	d := &node.Dialer{Node: start(t, cfg)}
	target := b.Addr().String()
	nettest.TestConn(t, func() (near, far net.Conn, stop func(), err error) {
		if near, err = d.Dial("sallyport", target); err != nil {
			return nil, nil, nil, err
		}
		far = <-accepted
		return near, far, func() { near.Close(); far.Close() }, nil
	})
}

func TestDialerTargets(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	accepted := accepting(t, b)
	compact, err := b.Address().Compact()
	if err != nil {
		t.Fatal(err)
	}
	plain := &node.Dialer{Node: start(t, cfg)}
	named := &node.Dialer{Node: plain.Node, Resolve: func(_ context.Context, target string) (address.Address, error) {
		if target != "bob.peer" {
			return address.Address{}, fmt.Errorf("nobody has the name")
		}
		return b.Address(), nil
	}}
	for _, c := range []struct {
		name            string
		d               *node.Dialer
		network, target string
	}{
		{"address", plain, "sallyport", b.Addr().String()},
		{"id", plain, "sallyport", b.ID().String()},
		{"id and port", plain, "tcp", b.ID().String() + ":80"},
		{"compact and port", plain, "tcp", compact + ":443"},
		{"name", named, "sallyport", "bob.peer"},
		{"name and port", named, "tcp", "bob.peer:80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, err := c.d.DialContext(shortly(t), c.network, c.target)
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			far := <-accepted
			defer far.Close()
			if near.(*node.Conn).Peer() != b.ID() || far.(*node.Conn).Peer() != plain.Node.ID() {
				t.Error("the proven keys are wrong")
			}
		})
	}
	for _, c := range []struct {
		name            string
		d               *node.Dialer
		network, target string
		want            string
	}{
		{"another network", plain, "udp", b.ID().String() + ":80", "dial udp: unknown network udp"},
		{"no port", plain, "tcp", b.ID().String(), "dial tcp: address " + b.ID().String() + ": missing port in address"},
		{"unknown name", named, "sallyport", "eve.peer", `dial sallyport: resolving "eve.peer": nobody has the name`},
		{"itself", plain, "sallyport", plain.Node.ID().String(), "dial sallyport: that address is this node's own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := c.d.DialContext(shortly(t), c.network, c.target)
			var op *net.OpError
			if conn != nil || !errors.As(err, &op) || err.Error() != c.want {
				t.Errorf("%v, %v; want %s", conn, err, c.want)
			}
		})
	}
}

// TestDialerGivesUp: to the standard library's clients, a dial that took too
// long is a timeout, and still tells what was tried.
func TestDialerGivesUp(t *testing.T) {
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	d := &node.Dialer{Node: start(t, local(t)), Timeout: 50 * time.Millisecond}
	web := http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	_, err = web.Get("http://" + k.Public().String() + "/")
	var timed net.Error
	var failed *node.ConnectError
	if !errors.As(err, &timed) || !timed.Timeout() || !errors.As(err, &failed) || failed.Peer != k.Public() {
		t.Errorf("%v is no timeout of a Connect", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.DialContext(ctx, "sallyport", k.Public().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, after the context was cancelled", err)
	}
}

// TestHTTPOverSallyport sends more than a window each way, on connections that
// are kept, and ends a server as servers end.
func TestHTTPOverSallyport(t *testing.T) {
	cfg := local(t)
	b := start(t, cfg)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(w, r.Body)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(b) }()
	d := &node.Dialer{Node: start(t, cfg)}
	transport := &http.Transport{DialContext: d.DialContext}
	web := http.Client{Transport: transport, Timeout: time.Minute}
	const size = 3 << 20
	done := make(chan error)
	for k := range 8 {
		go func() {
			sent, came := sha256.New(), sha256.New()
			body := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{byte(k)}), size), sent)
			answer, err := web.Post("http://"+b.ID().String()+"/", "", body)
			if err == nil {
				var n int64
				n, err = io.Copy(came, answer.Body)
				answer.Body.Close()
				if err == nil && (n != size || !bytes.Equal(sent.Sum(nil), came.Sum(nil))) {
					err = fmt.Errorf("other bytes came back, %d of them", n)
				}
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	transport.CloseIdleConnections()
	if err := server.Shutdown(shortly(t)); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the server ended with %v", err)
	}
}
