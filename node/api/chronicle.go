package api

import (
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

// remembered is how many events are kept for those who come later.
const remembered = 1024

// Event is one event as clients get it; which fields are set depends on its name.
type Event struct {
	Event    string    `json:"event"`
	At       time.Time `json:"at"`
	Dropped  int       `json:"dropped,omitempty"` // so many were lost before this one
	ID       string    `json:"id,omitempty"`
	Address  string    `json:"address,omitempty"`
	Compact  string    `json:"compact,omitempty"`
	Broker   string    `json:"broker,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Call     string    `json:"call,omitempty"`
	Session  int       `json:"session,omitempty"`
	Name     string    `json:"name,omitempty"` // of a connection
	Peer     string    `json:"peer,omitempty"`
	Purpose  string    `json:"purpose,omitempty"`
	Ours     bool      `json:"ours,omitempty"`
	Strategy string    `json:"strategy,omitempty"`
	What     string    `json:"what,omitempty"`
	MS       float64   `json:"ms,omitempty"` // since the call began
	Via      string    `json:"via,omitempty"`
	By       string    `json:"by,omitempty"` // the id of the node that relays
	Remote   string    `json:"remote,omitempty"`
	Circuit  int       `json:"circuit,omitempty"` // that this node relays
	Caller   string    `json:"caller,omitempty"`
	Callee   string    `json:"callee,omitempty"`
	There    uint64    `json:"there,omitempty"` // bytes from the caller to the callee
	Back     uint64    `json:"back,omitempty"`  // bytes
	Error    string    `json:"error,omitempty"`
}

// chronicle keeps the latest events, numbered from 1 on, and wakes those who wait
// for the next one.
type chronicle struct {
	mu     sync.Mutex
	events []Event // a ring
	last   int     // number of the latest
	news   chan struct{}

	told chan telling  // what follow is to write down
	over chan struct{} // closed when follow has ended
}

// telling is an event that is ours, and what is closed when it is written down.
type telling struct {
	event   Event
	written chan struct{}
}

func newChronicle() *chronicle {
	return &chronicle{news: make(chan struct{}), told: make(chan telling), over: make(chan struct{})}
}

// tell writes down an event of ours, after what the node has told before it.
func (c *chronicle) tell(e Event) {
	t := telling{e, make(chan struct{})}
	select {
	case c.told <- t:
		<-t.written
	case <-c.over: // the node tells nothing any more
		c.add(e)
	}
}

// add writes an event down.
func (c *chronicle) add(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.At = e.At.UTC()
	if len(c.events) < remembered {
		c.events = append(c.events, e)
	} else {
		c.events[c.last%remembered] = e
	}
	c.last++
	close(c.news)
	c.news = make(chan struct{})
}

// after gives the events after that number, the number of the first of them, how
// many are forgotten, and what is closed when there are more.
func (c *chronicle) after(number int) (events []Event, first, lost int, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number = min(max(number, 0), c.last)
	first = max(number, c.last-len(c.events)) + 1
	for k := first; k <= c.last; k++ {
		events = append(events, c.events[(k-1)%remembered])
	}
	return events, first, first - 1 - number, c.news
}

// latest is the number of the last event.
func (c *chronicle) latest() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// follow writes down what happens to a node, and what we tell, until the channel
// closes.
func (c *chronicle) follow(notices <-chan node.Notice) {
	defer close(c.over)
	for {
		select {
		case n, ok := <-notices:
			if !ok {
				return
			}
			c.note(n)
		case t := <-c.told:
			for waiting := len(notices); waiting > 0; waiting-- {
				if n, ok := <-notices; ok {
					c.note(n)
				}
			}
			c.add(t.event)
			close(t.written)
		}
	}
}

// note writes down what a node tells, where there are words for it.
func (c *chronicle) note(n node.Notice) {
	if e := eventOf(n.What); e.Event != "" {
		e.At, e.Dropped = n.At, n.Dropped
		c.add(e)
	}
}

// eventOf gives what happened in JSON's words; without a name where it is not
// known.
func eventOf(what node.Happening) Event {
	switch h := what.(type) {
	case node.Started:
		a := AddressOf(h.Address)
		return Event{Event: "started", ID: a.ID, Address: a.Address, Compact: a.Compact}
	case node.AddressChanged:
		a := AddressOf(h.Address)
		return Event{Event: "address", ID: a.ID, Address: a.Address, Compact: a.Compact}
	case node.BrokerUp:
		return Event{Event: "broker_up", Broker: h.Broker.String(), Endpoint: h.Endpoint}
	case node.BrokerDown:
		return Event{Event: "broker_down", Broker: h.Broker.String(), Endpoint: h.Endpoint, Error: errorText(h.Err)}
	case node.CallBegun:
		return Event{Event: "call", Call: h.Call, Peer: h.Peer.String(), Purpose: string(h.Purpose)}
	case node.CallStep:
		return Event{Event: "step", Call: h.Call, Peer: h.Peer.String(), Strategy: string(h.Step.Strategy), What: h.Step.What, Error: h.Step.Chain(), MS: milliseconds(h.Step.At)}
	case node.CallEnded:
		return Event{Event: "call_ended", Call: h.Call, Peer: h.Peer.String(), Via: string(h.Via), MS: milliseconds(h.Took), What: h.What, Error: errorText(h.Err)}
	case node.Connected:
		return Event{Event: "connected", Session: h.Session, Peer: h.Peer.String(), Ours: h.Opener, Via: string(h.Via), By: idOf(h.By), Remote: h.Remote.String()}
	case node.PathLost:
		return Event{Event: "path_lost", Session: h.Session, Peer: h.Peer.String()}
	case node.PathBack:
		return Event{Event: "path_back", Session: h.Session, Peer: h.Peer.String()}
	case node.PathMoved:
		return Event{Event: "path_moved", Session: h.Session, Peer: h.Peer.String(), Via: string(h.Via), By: idOf(h.By), Remote: h.Remote.String()}
	case node.CircuitBegun:
		return Event{Event: "circuit", Circuit: h.Circuit, Caller: h.Caller.String(), Callee: h.Callee.String()}
	case node.CircuitEnded:
		return Event{Event: "circuit_ended", Circuit: h.Circuit, Caller: h.Caller.String(), Callee: h.Callee.String(), MS: milliseconds(h.Took), There: h.There, Back: h.Back, Error: errorText(h.Err)}
	case node.Closed:
		return Event{Event: "closed", Session: h.Session, Peer: h.Peer.String(), Error: errorText(h.Err)}
	}
	return Event{}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
