package main

import (
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// forwardTeller tells people, or programs, what happens to a forward, wherever it
// runs.
type forwardTeller struct {
	*app
	peer address.Key
}

func (t *forwardTeller) tell(e api.ForwardEvent) {
	switch e.Event {
	case "connected":
		t.tellConnected(connectedEvent{e.Event, e.Via, e.Remote, e.Peer, e.MS, e.By})
	case "path":
		t.tellPath(pathEvent{e.Event, e.State, e.Via, e.Remote, e.MS, e.By})
	case "listening":
		t.tellListening(e)
	case "opened", "closed", "reset":
		t.tellPassage(e)
	case "gone", "retry", "back":
		t.tellLine(e)
	}
}

// tellListening tells of a forward that is ready.
func (t *forwardTeller) tellListening(e api.ForwardEvent) {
	if t.json {
		emit(t.err, listeningEvent{e.Event, e.Kind, e.Bind, e.To})
		return
	}
	s, err := forward.OfAPI(api.Forward{Kind: e.Kind, Bind: e.Bind, To: e.To})
	if err != nil {
		return // of a version that knows more
	}
	peer := t.peer.Short()
	t.say("Forwarding %v %s to %s.", s.Bind, s.Where(peer), s.What(peer))
	if forward.Wide(s.Bind) {
		t.say("Warning: other machines can use %v %s, too.", s.Bind, s.Where(peer))
	}
}

type listeningEvent struct {
	Event string `json:"event"`
	Kind  string `json:"kind"` // local, remote or socks
	Bind  string `json:"bind"`
	To    string `json:"to,omitempty"`
}

// tellPassage tells of one connection. That it was there and has ended well, only
// those hear who want to know all.
func (t *forwardTeller) tellPassage(e api.ForwardEvent) {
	switch {
	case t.json && e.Event == "opened":
		emit(t.err, openedEvent{e.Event, e.Number, e.Kind, e.From, e.To})
	case t.json && e.Event == "closed":
		emit(t.err, closedEvent{e.Event, e.Number, e.To, e.MS, e.Received, e.Sent, e.Refused, e.Error})
	case t.json:
		emit(t.err, resetEvent{e.Event, e.From, e.Error})
	case e.Event == "reset":
		t.say("A connection from %s was reset: %s.", e.From, e.Error)
	case e.Hint != "":
		t.say("A connection from %s was reset: %s (%s).", e.From, e.Error, e.Hint)
	case e.Error != "":
		t.say("A connection from %s has ended: %s.", e.From, e.Error)
	case t.verbose && e.Event == "opened":
		t.say("Connection %d from %s.", e.Number, e.From)
	case t.verbose:
		t.say("Connection %d has ended: %s came, %s went.", e.Number, megabytes(e.Received), megabytes(e.Sent))
	}
}

type openedEvent struct {
	Event  string `json:"event"`
	Number int    `json:"number"`
	Kind   string `json:"kind"`
	From   string `json:"from"`
	To     string `json:"to,omitempty"`
}

type closedEvent struct {
	Event    string  `json:"event"`
	Number   int     `json:"number"`
	To       string  `json:"to,omitempty"`
	MS       float64 `json:"ms"`
	Received int64   `json:"received"`
	Sent     int64   `json:"sent"`
	Refused  bool    `json:"refused,omitempty"` // by the peer, for the destination's sake
	Error    string  `json:"error,omitempty"`
}

// resetEvent is a connection for which nothing was done.
type resetEvent struct {
	Event string `json:"event"`
	From  string `json:"from"`
	Error string `json:"error"`
}

// tellLine tells of a change of the way to the peer: gone, retry (in MS), or back
// (after MS).
func (t *forwardTeller) tellLine(e api.ForwardEvent) {
	if t.json {
		emit(t.err, lineEvent{e.Event, e.Kind, e.Via, e.By, e.Remote, e.Error, e.MS})
		return
	}
	after := time.Duration(e.MS * float64(time.Millisecond)).Round(100 * time.Millisecond)
	switch {
	case e.Event == "gone":
		t.say("The peer is gone: %s. Calling it again; connections through it were reset.", e.Error)
	case e.Event == "back":
		t.say("The peer is back after %v: %s, %s.", after, e.Remote, viaWords(node.Strategy(e.Via), e.By))
	case e.Kind == api.RemoteForward:
		t.say("-R: %s. Trying again in %v.", e.Error, after)
	default:
		t.say("No connection: %s. Trying again in %v.", e.Error, after)
	}
}

type lineEvent struct {
	Event  string  `json:"event"`
	Kind   string  `json:"kind,omitempty"` // remote where it is about a port at the peer
	Via    string  `json:"via,omitempty"`
	By     string  `json:"by,omitempty"` // the id of the node that relays
	Remote string  `json:"remote,omitempty"`
	Error  string  `json:"error,omitempty"`
	MS     float64 `json:"ms,omitempty"`
}
