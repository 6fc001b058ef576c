package node_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

// peerKey is where a request's context holds the key of who asks.
type peerKey struct{}

// A web server and a client that know nothing of Sallyport but where their
// connections come from. The client's key is proven: the server reads it from
// the connection.
func ExampleDialer() {
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
	alice, err := node.New(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()

	server := http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c.(*node.Conn).Peer())
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(peerKey{}) != alice.ID() {
				http.Error(w, "this is for alice", http.StatusForbidden)
				return
			}
			fmt.Fprintf(w, "hello alice, here is %s", r.URL.Path)
		}),
	}
	go server.Serve(bob)       // a Node is a net.Listener
	defer server.Shutdown(ctx) // ends the node, too

	dialer := &node.Dialer{Node: alice}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://" + bob.ID().String() + "/news")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	fmt.Println(string(text), err)
	// Output:
	// hello alice, here is /news <nil>
}
