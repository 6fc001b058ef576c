package main

import (
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/forward"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// tunnels is the sink of tunnels: a node's flags say what they may ask for.
type tunnels struct {
	*app
	forward.Server
}

// newTunnels reads --allow-forward and --allow-listen.
func newTunnels(a *app, allowForward, allowListen []string) (*tunnels, error) {
	t := &tunnels{app: a}
	t.Wanted = t.tellWanted
	var err error
	if t.Dial, err = tunnel.ParseRules(allowForward); err != nil {
		return nil, misused("try --allow-forward 127.0.0.1:22, or HOST:*, 10.0.0.0/8:80, *:*", "--allow-forward: %v", err)
	}
	if t.Listen, err = tunnel.ParseRules(listenPlaces(allowListen)); err != nil {
		return nil, misused("try --allow-listen 8080, or 0.0.0.0:8080", "--allow-listen: %v", err)
	}
	return t, nil
}

// listenPlaces gives the bind addresses that --allow-listen leaves out.
func listenPlaces(texts []string) []string {
	places := slices.Clone(texts)
	for n, p := range places {
		if !strings.Contains(p, ":") {
			places[n] = "127.0.0.1:" + strings.TrimSpace(p)
		}
	}
	return places
}

// warn says what a person may not have meant.
func (t *tunnels) warn(everyone bool) {
	if everyone && t.Dial.Wide() {
		t.say("Warning: everyone may connect to this node, and through it to every host. Try --allow with node ids.")
	}
	for _, r := range t.Listen {
		if p, ok := r.Place(); !ok || forward.Wide(p) {
			t.say("Warning: peers may listen on %v, which other machines can reach.", r)
		}
	}
}

// tellWanted tells what a peer has asked for, and how it was answered.
func (t *tunnels) tellWanted(c *node.Conn, kind tunnel.Kind, place tunnel.Place, status tunnel.Status) {
	what := "dial"
	if kind == tunnel.Listen {
		what = "listen"
	}
	if t.json {
		emit(t.out, wantedEvent{"wanted", c.Peer().String(), what, place.String(), status == tunnel.Done, status.String()})
	}
	if status == tunnel.Done {
		t.say("%s: %s %v.", c.Peer().Short(), what, place)
		return
	}
	t.say("%s: %s %v: %s.", c.Peer().Short(), what, place, strings.ReplaceAll(status.String(), "the peer", "this node"))
}

type wantedEvent struct {
	Event  string `json:"event"`
	Peer   string `json:"peer"`
	What   string `json:"what"` // dial or listen
	Place  string `json:"place"`
	OK     bool   `json:"ok"`
	Status string `json:"status"`
}
