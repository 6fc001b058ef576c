package node

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/sallyport-net/sallyport/address"
)

// NextAddress waits until the node's address is another than last, round trips
// to brokers aside, and gives it. On a network that is new to the node it waits
// until the STUN servers were asked, so that nobody is told half of it; where
// the machine has no network, the address has no interfaces. The error is ctx's,
// or net.ErrClosed after Close.
//
//	for a := n.Address(); err == nil; a, err = n.NextAddress(ctx, a) {
//		publish(a)
//	}
//
// Who has an earlier address still gets through, as long as the node is on the
// brokers that it names.
func (n *Node) NextAddress(ctx context.Context, last address.Address) (address.Address, error) {
	old := lasting(last)
	for {
		news := n.around.news.wait()
		if a := n.Address(); n.around.settled() && lasting(a) != old {
			return a, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return address.Address{}, ctx.Err()
		case <-n.ctx.Done():
			return address.Address{}, fmt.Errorf("next address: %w", net.ErrClosed)
		}
	}
}

// lasting is what tells one address from another: all but the round trips.
func lasting(a address.Address) string {
	for _, list := range []*[]address.Interface{&a.V4, &a.V6} {
		*list = slices.Clone(*list)
		for k := range *list {
			(*list)[k].BrokerRTT = 0
		}
	}
	return a.String()
}
