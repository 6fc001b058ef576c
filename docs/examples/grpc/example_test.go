// Package grpc_test shows gRPC over Sallyport: a Node is a net.Listener, a
// node.Dialer dials, and credentials tell gRPC whose key the connection has
// proven. (insecure.NewCredentials() does as well for who need not know: the
// connection is encrypted all the same.)
package grpc_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

// proven are the credentials of a connection that has proven both keys already.
type proven struct{}

// identity is what they say.
type identity struct {
	credentials.CommonAuthInfo
	Key address.Key
}

func (identity) AuthType() string { return "sallyport" }

func identify(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, ok := c.(*node.Conn)
	if !ok {
		return nil, nil, fmt.Errorf("%T is no connection of Sallyport", c)
	}
	return c, identity{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, conn.Peer()}, nil
}

func (proven) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return identify(c)
}
func (proven) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) { return identify(c) }
func (proven) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "sallyport"}
}
func (proven) Clone() credentials.TransportCredentials { return proven{} }
func (proven) OverrideServerName(string) error         { return nil }

// The service is gRPC's own health check; any other is registered in the same
// way.
func Example() {
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

	server := grpc.NewServer(grpc.Creds(proven{}), grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		from, _ := peer.FromContext(ctx)
		fmt.Println("alice calls:", from.AuthInfo.(identity).Key == alice.ID())
		return handle(ctx, request)
	}))
	state := health.NewServer()
	state.SetServingStatus("gate", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, state)
	go server.Serve(bob)
	defer server.Stop() // ends the node, too

	dialer := &node.Dialer{Node: alice}
	client, err := grpc.NewClient("passthrough:///"+bob.ID().String(),
		grpc.WithTransportCredentials(proven{}),
		grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
			return dialer.DialContext(ctx, "sallyport", target)
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	answer, err := grpc_health_v1.NewHealthClient(client).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "gate"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.GetStatus())
	// Output:
	// alice calls: true
	// SERVING
}
