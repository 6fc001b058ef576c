package main

import (
	"context"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
)

// watched is a connection whose path may change: a *node.Conn, or one through the
// node in the background.
type watched interface {
	Changed() <-chan struct{}
	Over() bool
	Alive() bool
	Moves() int
	Via() node.Strategy
	By() address.Key
	RemoteAddr() net.Addr
}

// watchPath tells of every change of a connection's path, until the connection
// is over.
func (a *app) watchPath(c watched) { watchPath(context.Background(), c, a.tellPath) }

// watchPath tells of them until ctx or the connection ends.
func watchPath(ctx context.Context, c watched, tell func(pathEvent)) {
	alive, moves := true, c.Moves()
	var lost time.Time
	for {
		changed := c.Changed()
		if c.Over() {
			return
		}
		if n := c.Moves(); n != moves {
			tell(pathEvent{"path", "moved", string(c.Via()), c.RemoteAddr().String(), since(lost), c.By().String()})
			moves, alive, lost = n, true, time.Time{}
		}
		switch now := c.Alive(); {
		case alive && !now:
			lost = time.Now()
			tell(pathEvent{Event: "path", State: "lost"})
			alive = false
		case !alive && now:
			tell(pathEvent{"path", "back", string(c.Via()), c.RemoteAddr().String(), since(lost), c.By().String()})
			alive, lost = true, time.Time{}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// since is the time since an instant in milliseconds; 0 where there was none.
func since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return milliseconds(time.Since(t))
}

// pathEvent is a change of the path: lost, back, or moved to another.
type pathEvent struct {
	Event  string  `json:"event"`
	State  string  `json:"state"`
	Via    string  `json:"via,omitempty"`
	Remote string  `json:"remote,omitempty"`
	MS     float64 `json:"ms,omitempty"` // since it was lost
	By     string  `json:"by,omitempty"` // the id of the node that relays
}

func (a *app) tellPath(e pathEvent) {
	if a.json {
		emit(a.err, e)
		return
	}
	switch e.State {
	case "lost":
		a.say("The path to the peer is silent. Looking for another; nothing is lost meanwhile.")
	case "back":
		a.say("The path is back after %.1f s.", e.MS/1000)
	case "moved":
		after := ""
		if e.MS > 0 {
			after = " after " + time.Duration(e.MS*float64(time.Millisecond)).Round(100*time.Millisecond).String()
		}
		a.say("The connection goes on with %s, %s%s.", e.Remote, viaWords(node.Strategy(e.Via), e.By), after)
	}
}
