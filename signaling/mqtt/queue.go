package mqtt

import (
	"sync"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

// queue holds deliveries until they are read: so many of each broker, the
// oldest dropped first. The brokers take turns, so that a flood on one costs
// the others nothing.
type queue struct {
	limit int
	wake  chan struct{} // has an element when there may be something to take

	mu      sync.Mutex
	lanes   map[address.Broker][]signaling.Delivery // none of them empty
	turns   []address.Broker                        // the keys of lanes, next first
	dropped uint64
	closed  bool
}

func newQueue(limit int) *queue {
	return &queue{
		limit: limit,
		wake:  make(chan struct{}, 1),
		lanes: make(map[address.Broker][]signaling.Delivery),
	}
}

// put never blocks.
func (q *queue) put(d signaling.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	lane := q.lanes[d.Broker]
	switch {
	case len(lane) == 0:
		q.turns = append(q.turns, d.Broker)
	case len(lane) >= q.limit:
		lane[0] = signaling.Delivery{} // don't hold its payload
		lane = lane[1:]
		q.dropped++
	}
	q.lanes[d.Broker] = append(lane, d)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take gives the next delivery.
func (q *queue) take() (signaling.Delivery, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns) == 0 {
		return signaling.Delivery{}, false
	}
	b := q.turns[0]
	lane := q.lanes[b]
	d := lane[0]
	lane[0] = signaling.Delivery{}
	q.turns = q.turns[1:]
	if len(lane) > 1 {
		q.lanes[b] = lane[1:]
		q.turns = append(q.turns, b)
	} else {
		delete(q.lanes, b)
	}
	return d, true
}

// close empties the queue for good.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.lanes, q.turns = true, nil, nil
}

func (q *queue) drops() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
