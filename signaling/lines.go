package signaling

import (
	"sync"

	"github.com/sallyport-net/sallyport/address"
)

const (
	// lineLength is how many payloads of one broker wait to be opened at most: what
	// its budget lets through at once, and some.
	lineLength = BrokerBurst + BrokerBurst/4
	// linesLength is how many of all brokers do. Beyond it only a broker of which
	// none waits may add one, of which there are few.
	linesLength = 1024
)

// lines are where payloads wait between the two stations of the inbox, in a line
// for each broker. They are opened in turns, one of each line: where this machine
// opens them more slowly than they come, a flood on one broker delays what comes
// over another by one payload, not by all of its own.
type lines struct {
	mu    sync.Mutex
	more  chan struct{} // has an element while somebody waits
	of    map[address.Broker][]Delivery
	turns []address.Broker // those of which somebody waits, the next one first
	count int
}

func newLines() *lines {
	return &lines{more: make(chan struct{}, 1), of: make(map[address.Broker][]Delivery)}
}

// put adds a payload to the line of its broker, unless there is no room.
func (l *lines) put(d Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.of[d.Broker]
	if len(line) >= lineLength || l.count >= linesLength && len(line) > 0 {
		return false
	}
	if len(line) == 0 {
		l.turns = append(l.turns, d.Broker)
	}
	l.of[d.Broker] = append(line, d)
	l.count++
	l.signal()
	return true
}

// take gives the one whose turn it is, if any waits.
func (l *lines) take() (d Delivery, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.turns) == 0 {
		return d, false
	}
	b := l.turns[0]
	l.turns = l.turns[1:]
	line := l.of[b]
	d, line[0] = line[0], Delivery{}
	if line = line[1:]; len(line) > 0 {
		l.of[b] = line
		l.turns = append(l.turns, b)
	} else {
		delete(l.of, b)
	}
	l.count--
	if l.count > 0 {
		l.signal() // for whoever else opens
	}
	return d, true
}

// signal wakes one of those who take.
func (l *lines) signal() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}
