// Command hello is Sallyport in a few lines: without an argument it waits for
// a peer and greets it, with a TARGET it calls one and prints the greeting.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/sallyport-net/sallyport/node"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	n, err := node.New(ctx, node.Config{}) // a new key, the public servers
	if err != nil {
		return err
	}
	defer n.Close()
	if len(args) == 0 { // to be called
		fmt.Println(n.Addr())   // what the other side needs
		conn, err := n.Accept() // a net.Conn, as from any net.Listener
		if err != nil {
			return err
		}
		fmt.Fprintln(conn, "hello from", n.ID())
		return conn.Close()
	}
	conn, err := n.Connect(ctx, args[0]) // lan, direct, reverse, punch: what works first
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(os.Stdout, conn)
	return err
}
