package natlab

import (
	"container/heap"
	"time"
)

// event is a packet's arrival at the far end of a link.
type event struct {
	at   time.Duration // since the lab began
	seq  uint64        // keeps the order of what arrives at one instant
	link *link
	down bool
	p    packet
}

// queue holds the packets that are under way, the next arrival first.
type queue struct {
	events events
	seq    uint64
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	heap.Push(&q.events, e)
}

// due takes out the next event if it lies at or before now.
func (q *queue) due(now time.Duration) (event, bool) {
	if at, ok := q.next(); !ok || at > now {
		return event{}, false
	}
	return heap.Pop(&q.events).(event), true
}

// next tells when the next event is due; false if there is none.
func (q *queue) next() (time.Duration, bool) {
	if len(q.events) == 0 {
		return 0, false
	}
	return q.events[0].at, true
}

// events is a heap.Interface.
type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }

func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}

func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{} // let the bytes go
	*e = (*e)[:last]
	return x
}
