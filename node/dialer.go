package node

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Dialer opens connections to peers in the shape of net.Dialer, for libraries
// that want a dial function. Its DialContext fits http.Transport.DialContext
// as it is, and is a line away from grpc.WithContextDialer. It is safe for
// concurrent use while its fields stay as they are.
type Dialer struct {
	// Node makes the connections. It must be set.
	Node *Node
	// Timeout bounds one dial, beside ctx and the node's Config.Timeout. 0 means
	// that those do.
	Timeout time.Duration
	// Resolve makes an address of a target. Nil means address.Parse, which takes
	// addresses and node ids; a nickname.Resolver gives names a meaning too.
	Resolve func(ctx context.Context, target string) (address.Address, error)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, target string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, target)
}

// DialContext connects to a peer. On the network "sallyport" target is what
// Connect takes. On "tcp", which is what an HTTP client asks for, it is
// HOST:PORT, where HOST is such a target and the port is not looked at, since a
// node has one door: in a URL, http://TARGET/path, a node id or the compact form
// of an address will do. ctx bounds the dial only, not the connection.
//
// The connection is a *Conn, and several to one peer share one path. An error
// is a *net.OpError around what Connect gives.
func (d *Dialer) DialContext(ctx context.Context, network, target string) (net.Conn, error) {
	c, err := d.dial(ctx, network, target)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, network, target string) (*Conn, error) {
	switch network {
	case "sallyport":
	case "tcp":
		host, _, err := net.SplitHostPort(target)
		if err != nil {
			return nil, err
		}
		target = host
	default:
		return nil, net.UnknownNetworkError(network)
	}
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	if d.Resolve == nil {
		return d.Node.Connect(ctx, target)
	}
	peer, err := d.Resolve(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("resolving %q: %w", target, err)
	}
	return d.Node.ConnectAddress(ctx, peer)
}
