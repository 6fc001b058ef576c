package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
)

// The pieces of code in docs/go.md stand here, so that they are compiled.

func Example_keep() {
	ctx, dir := context.Background(), "."
	alice, err := address.ParseKey("26vGxSb9PMjdqAkEtixBBHm6tt9o72xX4YBBHJQWsJnQb")
	if err != nil {
		log.Fatal(err)
	}

	key, _, err := address.LoadOrCreateKey(filepath.Join(dir, "key")) // made with mode 0600
	if err != nil {
		log.Fatal(err)
	}
	friends := signaling.Only(alice)
	n, err := node.New(ctx, node.Config{
		Key:       key,
		Admission: &friends,                                      // the others get no answer at all
		StateDir:  dir,                                           // remembers which ways led where
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)), // silent without
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
}

func Example_accept() {
	var n *node.Node

	for {
		c, err := n.Accept()
		if err != nil {
			return // net.ErrClosed: the node is closed
		}
		go func() {
			defer c.Close()
			conn := c.(*node.Conn)
			log.Println("connected with", conn.Peer(), "at", conn.RemoteAddr())
			_, _ = io.Copy(conn, conn) // until the peer has ended
		}()
	}
}

func Example_errors() {
	var n *node.Node
	target := ""

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := n.Connect(ctx, target)
	var failed *node.ConnectError
	switch {
	case errors.As(err, &failed):
		for _, a := range failed.Attempts {
			log.Println(a.Strategy, a.Err) // what each strategy met
		}
		log.Println("try:", failed.Hint())
		return
	case err != nil: // target is no address: an *address.ParseError
		log.Println(err)
		return
	}
	defer conn.Close()
	switch answer, err := io.ReadAll(conn); {
	case errors.Is(err, link.ErrRefused):
		log.Println("the peer does not admit", n.ID())
	case errors.Is(err, io.ErrUnexpectedEOF):
		log.Println("the peer is gone, and this is not all of it:", len(answer), "bytes")
	}
}

func Example_path() {
	var conn *node.Conn

	for !conn.Over() {
		changed := conn.Changed()
		log.Println("by", conn.Via(), "at", conn.RemoteAddr(), "alive:", conn.Alive(), "moves:", conn.Moves())
		<-changed
	}
}

func Example_names() {
	ctx := context.Background()
	var n *node.Node

	resolver := &nickname.Resolver{
		Places: nickname.Everywhere{},
		Known:  nickname.OpenKnown("known-names.json"), // pins each key at its first use
	}
	dialer := &node.Dialer{
		Node: n,
		Resolve: func(ctx context.Context, target string) (address.Address, error) {
			peer, err := resolver.Resolve(ctx, target)
			return peer.Address, err
		},
	}
	conn, err := dialer.DialContext(ctx, "sallyport", "alice.6eh7u2ygqq")
	var refused *net.OpError
	fmt.Println(conn, errors.As(err, &refused))
}

func Example_moving() {
	ctx := context.Background()
	var n *node.Node
	publish := func(address.Address) {}
	var err error

	for a := n.Address(); err == nil; a, err = n.NextAddress(ctx, a) {
		publish(a)
	}
}

func Example_events() {
	ctx := context.Background()
	var n *node.Node

	for e := range n.Events(ctx) {
		switch what := e.What.(type) {
		case node.Connected:
			log.Println(what.Peer, "by", what.Via)
		case node.PathLost:
			log.Println(what.Peer, "is silent")
		case node.PathMoved:
			log.Println(what.Peer, "goes on by", what.Via)
		}
	}
}

func Example_relay() {
	ctx := context.Background()

	gate, err := relay.ParseURL("turn:SECRET@gate.example.org:3480") // as sallyport serve prints it
	if err != nil {
		log.Fatal(err)
	}
	n, err := node.New(ctx, node.Config{Relays: []relay.Place{gate}})
	fmt.Println(n, err)
}
