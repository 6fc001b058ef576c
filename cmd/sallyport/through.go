package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/session"
)

// reach connects to target through the node in the background, or by one of its
// own: a stream, or an echo.
func (a *app) reach(ctx context.Context, f *nodeFlags, target string, echo bool) (*call, error) {
	if up := a.background(f); up != nil {
		peer, err := a.resolve(ctx, f, target)
		if err != nil {
			return nil, err
		}
		st, err := up.status(ctx)
		if err != nil {
			return nil, err
		}
		if peer.Key.String() != st.Address.ID && peer.Foreign == "" {
			return a.through(ctx, up, f, peer, echo)
		}
	}
	if echo {
		return a.dial(ctx, f, target, (*node.Node).Ping)
	}
	return a.dial(ctx, f, target, (*node.Node).ConnectAddress)
}

// through connects to peer through the node in the background.
func (a *app) through(ctx context.Context, up *control, f *nodeFlags, peer address.Address, echo bool) (*call, error) {
	begun := time.Now()
	story := newNarrator(a).story
	waited, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(waited)
		a.tellWaiting(ended, begun, f.timeout, peer, story)
	}()
	following, stop := context.WithCancel(ctx)
	followed := make(chan struct{})
	listening := make(chan struct{})
	go func() {
		defer close(followed)
		a.followSteps(following, up, peer.Key, story, listening)
	}()
	defer func() { close(ended); stop(); <-waited; <-followed }()
	select {
	case <-listening:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}

	var c api.Connection
	open := api.Open{Target: peer.String(), Echo: echo, TimeoutMS: min(f.timeout, 2*time.Minute).Milliseconds()}
	if err := up.ask(ctx, http.MethodPost, "/v1/connections", open, &c); err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{NetDialContext: up.dial, HandshakeTimeout: controlAnswer}
	ws, _, err := dialer.DialContext(ctx, "ws://sallyport/v1/connections/"+c.Name+"/tunnel", nil)
	if err != nil {
		return nil, failed(err, "", "the node in the background has lost the connection")
	}
	remote, err := netip.ParseAddrPort(c.Remote)
	if err != nil {
		_ = ws.Close()
		return nil, failed(err, "", "the node in the background speaks another language")
	}
	var by address.Key
	if c.By != "" {
		if by, err = address.ParseKey(c.By); err != nil {
			_ = ws.Close()
			return nil, failed(err, "", "the node in the background speaks another language")
		}
	}
	took := time.Duration(c.TookMS * float64(time.Millisecond))
	return &call{app: a, conn: &tunnelConn{Conn: ws, peer: peer.Key, via: node.Strategy(c.Via), by: by, remote: remote, took: took}}, nil
}

// followSteps tells what the calls to peer are at, until ctx ends.
func (a *app) followSteps(ctx context.Context, up *control, peer address.Key, s *story, listening chan<- struct{}) {
	begin := func() { close(listening) }
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sallyport/v1/events", nil)
	if err != nil {
		begin()
		return
	}
	resp, err := up.http.Do(r)
	begin()
	if err != nil {
		return // it is only a story
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		var e api.Event
		if !ok || json.Unmarshal([]byte(text), &e) != nil || e.Event != "step" || e.Peer != peer.String() {
			continue
		}
		s.note(e.Strategy, e.What)
		switch {
		case !a.verbose:
		case a.json:
			emit(a.err, stepEvent{"step", e.MS, e.Strategy, e.What})
		default:
			a.say("%9.1f ms  %-8s %s", e.MS, e.Strategy, e.What)
		}
	}
}

// tunnelConn is a connection through the node in the background.
type tunnelConn struct {
	*websocket.Conn
	peer   address.Key
	via    node.Strategy
	by     address.Key // the node that relays
	remote netip.AddrPort
	took   time.Duration

	message io.Reader // what is left of the current one
	ended   bool      // the peer has
}

func (c *tunnelConn) Peer() address.Key   { return c.peer }
func (c *tunnelConn) Via() node.Strategy  { return c.via }
func (c *tunnelConn) By() address.Key     { return c.by }
func (c *tunnelConn) Took() time.Duration { return c.took }

// Verdict is known: the node in the background has waited for the peer's yes.
func (c *tunnelConn) Verdict() error { return nil }

// RemoteAddr is where the peer is, as the node in the background sees it.
func (c *tunnelConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *tunnelConn) Read(p []byte) (int, error) {
	for {
		if c.ended {
			return 0, io.EOF
		}
		if c.message == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, tunnelError(err)
			}
			if kind == websocket.TextMessage { // the end is all that is said so
				c.ended = true
				continue
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *tunnelConn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), 256<<10)
		if err := c.WriteMessage(websocket.BinaryMessage, p[:k]); err != nil {
			return n, session.ErrPeerClosed
		}
		n, p = n+k, p[k:]
	}
	return n, nil
}

// CloseWrite tells the peer that nothing follows.
func (c *tunnelConn) CloseWrite() error { return c.WriteJSON(api.End{End: true}) }

// WaitClosed waits until the connection is over. It is for after the peer's end.
func (c *tunnelConn) WaitClosed() {
	for {
		if _, _, err := c.NextReader(); err != nil {
			return
		}
	}
}

// SetDeadline sets both deadlines.
func (c *tunnelConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close ends the connection; what was written is delivered.
func (c *tunnelConn) Close() error {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.WriteControl(websocket.CloseMessage, bye, time.Now().Add(inFlight))
	return c.Conn.Close()
}

// Reset ends it so that the peer knows that it has not got all.
func (c *tunnelConn) Reset() error { return c.Conn.Close() }

// tunnelError says how a tunnel ended.
func tunnelError(err error) error {
	var c *websocket.CloseError
	switch {
	case !errors.As(err, &c):
		return err
	case c.Code == websocket.CloseNormalClosure:
		return io.EOF
	case c.Code == api.TunnelShut:
		return session.ErrPeerClosed
	}
	return fmt.Errorf("%s: %w", c.Text, io.ErrUnexpectedEOF)
}
