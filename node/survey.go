package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/sallyport-net/sallyport/nat"
)

// survey is a wish to have everything asked anew.
type survey struct {
	ctx  context.Context
	errs map[netip.Addr]error
	done chan struct{} // closed when errs are known
}

// Probe asks the STUN servers about all places anew, and returns when all is
// known that is to be had: Places and Address say so from then on. errs has why
// nobody answered at a place. It waits for questions that are under way, so that
// the warm port is never used for two at once.
func (n *Node) Probe(ctx context.Context) (errs map[netip.Addr]error, err error) {
	q := &survey{ctx: ctx, done: make(chan struct{})}
	select {
	case n.surveys <- q:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-n.ctx.Done():
		return nil, fmt.Errorf("probe: %w", net.ErrClosed)
	}
	<-q.done // soon, when either context ends
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return q.errs, nil
}

// askAll does what a survey wants. The error is what all places met where none
// was answered.
func (n *Node) askAll(q *survey) error {
	defer close(q.done)
	ctx, end := n.untilChanged()
	defer end()
	stop := context.AfterFunc(q.ctx, end)
	defer stop()
	if n.noSTUN() {
		return nil
	}
	list := n.around.uplinks()
	if len(list) == 0 {
		return errNoPlace
	}
	all := make([]error, len(list))
	var asked sync.WaitGroup
	for k, p := range list {
		asked.Go(func() { all[k] = n.probe(ctx, p, func(nat.Report) {}) })
	}
	asked.Wait()
	q.errs = make(map[netip.Addr]error)
	for k, p := range list {
		if all[k] != nil {
			q.errs[p.addr] = all[k]
		}
	}
	return allFailed(all)
}
