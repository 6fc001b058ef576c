// Package nodetest runs real nodes for tests, over loopback and a broker of their
// own.
package nodetest

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
)

// Config starts a broker on loopback, which lives as long as the test, and gives
// what nodes need to meet over it and nowhere else.
func Config(t testing.TB) node.Config {
	t.Helper()
	b := brokertest.Start(t, broker.Config{})
	return node.Config{
		Brokers: []address.Broker{{URL: b.URL()}}, STUN: []string{}, Interfaces: []string{"lo"}, NoLAN: true,
	}
}

// Start starts a node that is closed with the test, and must close well.
func Start(t testing.TB, cfg node.Config) *node.Node {
	t.Helper()
	n, err := node.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// Accept makes n accept, and gives what it accepts until the test ends. What
// nobody has taken is closed then.
func Accept(t testing.TB, n *node.Node) <-chan net.Conn {
	conns := make(chan net.Conn, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(conns)
		for {
			c, err := n.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accept: %v", err)
				}
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() {
		n.Close()
		<-done
		for c := range conns {
			c.Close()
		}
	})
	return conns
}
