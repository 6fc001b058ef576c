package node_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

// Two nodes meet over a broker of their own on this machine. With the zero
// Config they would use the public brokers and STUN servers instead.
func Example() {
	b, err := broker.Start(broker.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	cfg := node.Config{
		Brokers:    []address.Broker{{URL: b.URL()}},
		STUN:       []string{}, // loopback needs none
		Interfaces: []string{"lo"},
	}

	ctx := context.Background()
	bob, err := node.New(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	go func() {
		for {
			conn, err := bob.Accept() // a net.Conn, as from any net.Listener
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintf(conn, "hello, %T", conn)
			}()
		}
	}()

	alice, err := node.New(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	conn, err := alice.Connect(ctx, bob.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	fmt.Println(string(text), err)
	// Output:
	// hello, *node.Conn <nil>
}
