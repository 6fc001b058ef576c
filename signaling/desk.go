package signaling

import (
	"sync"

	"github.com/sallyport-net/sallyport/address"
)

// desk hands out places for handlers, so that no sender takes them all and the
// listed ones always find one.
type desk struct {
	mu      sync.Mutex
	places  int
	taken   int
	open    int // of taken, by open senders
	senders map[address.Key]int
}

func newDesk(places int) *desk {
	return &desk{places: places, senders: make(map[address.Key]int)}
}

// enter takes a place, if there is one for this sender.
func (d *desk) enter(from address.Key, level Level) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.taken >= d.places,
		d.senders[from] >= max(1, d.places/4),
		level != Listed && d.open >= max(1, d.places*3/4):
		return false
	}
	d.taken++
	d.senders[from]++
	if level != Listed {
		d.open++
	}
	return true
}

// leave gives a place back that enter took with the same arguments.
func (d *desk) leave(from address.Key, level Level) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken--
	if d.senders[from]--; d.senders[from] == 0 {
		delete(d.senders, from)
	}
	if level != Listed {
		d.open--
	}
}
