package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// requestTimeout is how long a stream may be silent about where it leads.
const requestTimeout = 10 * time.Second

// tunnels is the sink of tunnels: a node's flags say what they may ask for.
type tunnels struct {
	*app
	forward tunnel.Rules // what may be connected to
	listen  tunnel.Rules // where peers may listen
	porters porters
}

// newTunnels reads --allow-forward and --allow-listen.
func newTunnels(a *app, allowForward, allowListen []string) (*tunnels, error) {
	t := &tunnels{app: a}
	var err error
	if t.forward, err = tunnel.ParseRules(allowForward); err != nil {
		return nil, misused("try --allow-forward 127.0.0.1:22, or HOST:*, 10.0.0.0/8:80, *:*", "--allow-forward: %v", err)
	}
	if t.listen, err = tunnel.ParseRules(listenPlaces(allowListen)); err != nil {
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
	if everyone && t.forward.Wide() {
		t.say("Warning: everyone may connect to this node, and through it to every host. Try --allow with node ids.")
	}
	for _, r := range t.listen {
		if p, ok := r.Place(); !ok || !loopback(p) {
			t.say("Warning: peers may listen on %v, which other machines can reach.", r)
		}
	}
}

// loopback reports whether only this machine reaches a place.
func loopback(p tunnel.Place) bool {
	a, ok := p.Addr()
	return ok && a.IsLoopback()
}

// serve is the sink.
func (t *tunnels) serve(ctx context.Context, c *node.Conn) pipe.Traffic {
	_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
	q, err := tunnel.ReadRequest(c)
	if err != nil {
		pipe.Cut(c)
		if errors.Is(err, tunnel.ErrForeign) {
			err = errors.New("the peer opens a tunnel, and does not say where it shall lead")
		}
		return pipe.Traffic{Err: err}
	}
	_ = c.SetReadDeadline(time.Time{})
	switch q.Kind {
	case tunnel.Dial:
		return t.dial(ctx, c, q.Place)
	case tunnel.Listen:
		return pipe.Traffic{Err: t.porters.serve(ctx, c, q.Place, t)}
	}
	local := t.porters.take(c.Peer(), q.Ticket)
	if local == nil {
		return refuse(c, tunnel.Gone, errors.New("the connection that the peer takes is no more"))
	}
	if _, err := c.Write(tunnel.Reply{}.Bytes()); err != nil {
		pipe.Abort(local)
		return pipe.Traffic{Err: err}
	}
	stop := context.AfterFunc(ctx, func() { pipe.Abort(local) })
	defer stop()
	return pipe.Join(c, local)
}

// refuse answers with a no.
func refuse(c *node.Conn, status tunnel.Status, err error) pipe.Traffic {
	_, _ = c.Write(tunnel.Reply{Status: status}.Bytes())
	pipe.Leave(c)
	return pipe.Traffic{Err: err}
}

// dial connects the stream to a service, if it may.
func (t *tunnels) dial(ctx context.Context, c *node.Conn, to tunnel.Place) pipe.Traffic {
	local, err := dialAllowed(ctx, t.forward, to)
	status := tunnel.StatusOf(err)
	t.tellWanted(c, "dial", to, status)
	if err != nil {
		return refuse(c, status, &tunnel.RefusedError{Kind: tunnel.Dial, Place: to, Status: status})
	}
	if _, err := c.Write(tunnel.Reply{}.Bytes()); err != nil {
		pipe.Abort(local)
		return pipe.Traffic{Err: err}
	}
	stop := context.AfterFunc(ctx, func() { pipe.Abort(local) })
	defer stop()
	return pipe.Join(c, local)
}

// dialAllowed dials what the rules leave of a place, one address after another.
func dialAllowed(ctx context.Context, rules tunnel.Rules, to tunnel.Place) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	places, err := rules.Resolve(ctx, to, func(ctx context.Context, name string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		var conn net.Conn
		var d net.Dialer
		if conn, err = d.DialContext(ctx, "tcp", p.String()); err == nil {
			return conn.(*net.TCPConn), nil
		}
	}
	return nil, err
}

// tellWanted tells what a peer has asked for, and how it was answered.
func (t *tunnels) tellWanted(c *node.Conn, what string, place tunnel.Place, status tunnel.Status) {
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
