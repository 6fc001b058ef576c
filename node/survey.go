package node

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/sallyport-net/sallyport/nat"
)

// Probed is what a place looks like now.
type Probed struct {
	PlaceState
	Err error // why nobody has answered; the report is of no use then
}

// survey is a wish to have everything asked anew.
type survey struct {
	ctx   context.Context
	found []Probed
	done  chan struct{} // closed when that is known
}

// Probe asks the STUN servers about all uplinks anew, and returns when all is
// known that is to be had: Places and Address say so from then on. It waits for
// questions that are under way, so that the warm port is never used for two at
// once.
func (n *Node) Probe(ctx context.Context) ([]Probed, error) {
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
	return q.found, nil
}

// askAll does what a survey wants. The error is what all places met where none
// was answered.
func (n *Node) askAll(q *survey) error {
	defer close(q.done)
	ctx, end := n.untilChanged()
	defer end()
	stop := context.AfterFunc(q.ctx, end)
	defer stop()
	list := n.around.uplinks()
	if len(list) == 0 {
		return errNoPlace
	}
	q.found = make([]Probed, len(list))
	errs := make([]error, len(list))
	var asked sync.WaitGroup
	for k, p := range list {
		asked.Go(func() {
			var r nat.Report
			if !n.noSTUN() {
				r, errs[k] = n.ask(ctx, p, func(nat.Report) {})
			}
			q.found[k] = Probed{PlaceState{p.name, p.addr, r, true}, errs[k]}
		})
	}
	asked.Wait()
	return allFailed(errs)
}
