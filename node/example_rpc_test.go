package node_test

import (
	"context"
	"fmt"
	"log"
	"net/rpc"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

// Counter is a service for net/rpc.
type Counter struct{}

// Letters counts those of a word.
func (Counter) Letters(word string, n *int) error {
	*n = len([]rune(word))
	return nil
}

// Procedure calls with net/rpc: whatever serves or uses a connection will do.
func Example_rpc() {
	b, err := broker.Start(broker.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	cfg := node.Config{ // without these, the public servers and all interfaces
		Brokers: []address.Broker{{URL: b.URL()}}, STUN: []string{}, Interfaces: []string{"lo"},
	}
	ctx := context.Background()
	bob, err := node.New(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	server := rpc.NewServer()
	if err := server.Register(Counter{}); err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := bob.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(conn)
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
	client := rpc.NewClient(conn)
	defer client.Close()
	var n int
	err = client.Call("Counter.Letters", "sallyport", &n)
	fmt.Println(n, err)
	// Output:
	// 9 <nil>
}
