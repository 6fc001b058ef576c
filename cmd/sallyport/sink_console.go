package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
)

// console joins the peers with the person, or the files, at the node's
// standard input and output: everybody's words come to the output, and the
// input goes to the peer that has been there longest.
type console struct {
	app      *app
	in       io.Reader
	terminal bool // a person is at the input

	mu      sync.Mutex
	changed *sync.Cond
	guests  []*guest // oldest first
	flowing bool     // something has come from the input
	ended   bool     // it has come to its end
}

// guest is a peer while it is there.
type guest struct {
	conn *node.Conn
	sent int64
	said bool // it gets no more: we have told it so, or it is gone
}

func newConsole(a *app) *console {
	c := &console{app: a, in: a.in, terminal: a.interactive()}
	c.changed = sync.NewCond(&c.mu)
	// The reader has no owner that waits for it: a Read of standard input
	// can't be interrupted. It ends with the process.
	go c.read()
	return c
}

// read hands the input to whoever is first, piece by piece.
func (c *console) read() {
	buf := make([]byte, 64<<10)
	for {
		k, err := c.in.Read(buf)
		if k > 0 {
			c.deliver(buf[:k])
		}
		if err != nil {
			c.mu.Lock()
			c.ended = true
			if first := c.first(); first != nil {
				c.hush(first)
			}
			c.changed.Broadcast()
			c.mu.Unlock()
			return
		}
	}
}

// deliver waits for a guest and gives it the piece. What a guest does not take
// any more is lost: it was meant for that one.
func (c *console) deliver(piece []byte) {
	c.mu.Lock()
	c.flowing = true
	for c.first() == nil {
		c.changed.Wait()
	}
	to := c.first()
	c.mu.Unlock()
	n, err := to.conn.Write(piece)
	c.mu.Lock()
	defer c.mu.Unlock()
	to.sent += int64(n)
	if err != nil {
		to.said = true
		c.changed.Broadcast()
	}
}

// hush tells a guest, after the end of the input, that nothing more will come.
// Where the input was empty from the start, as of a service, the node only
// listens, and ends when the guest does. The mutex is held.
func (c *console) hush(g *guest) {
	if c.flowing || c.terminal {
		g.said = true
		_ = g.conn.CloseWrite()
	}
}

// first is the guest that the input goes to, nil if there is none; the mutex is
// held.
func (c *console) first() *guest {
	for _, g := range c.guests {
		if !g.said {
			return g
		}
	}
	return nil
}

// serve is the sink.
func (c *console) serve(ctx context.Context, conn *node.Conn) pipe.Traffic {
	g := &guest{conn: conn}
	c.mu.Lock()
	c.guests = append(c.guests, g)
	if c.ended {
		c.hush(g)
	}
	c.changed.Broadcast()
	c.mu.Unlock()

	stop := context.AfterFunc(ctx, func() { c.gone(g) })
	defer stop()
	received, err := pipe.Copy(&hearing{c.app, conn.Peer().String()}, conn)
	if err == nil {
		c.finish(g)
	}
	c.gone(g)
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.As(err, new(pipe.WriteError)) {
		err = errors.New("standard output takes no more")
	}
	return pipe.Traffic{Received: received, Sent: g.sent, Err: err}
}

// finish waits, when a peer has ended, until it has got all of a file or pipe
// on the input that is meant for it, or has closed altogether.
func (c *console) finish(g *guest) {
	closed := make(chan struct{})
	defer func() { <-closed }()
	go func() { // ends with the connection
		defer close(closed)
		g.conn.WaitClosed()
		c.gone(g)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.terminal && c.flowing && !c.ended && !g.said && c.first() == g {
		c.changed.Wait()
	}
	_ = g.conn.Close()
}

// gone takes a guest off the list.
func (c *console) gone(g *guest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.said = true
	c.guests = slices.DeleteFunc(c.guests, func(other *guest) bool { return other == g })
	c.changed.Broadcast()
}

// hearing is where a guest's words go: to standard output as they are, or with
// --json as events.
type hearing struct {
	app  *app
	peer string
}

func (h *hearing) Write(p []byte) (int, error) {
	if !h.app.json {
		return h.app.out.Write(p)
	}
	e := dataEvent{Event: "data", Peer: h.peer}
	if utf8.Valid(p) {
		e.Text = string(p)
	} else {
		e.Base64 = base64.StdEncoding.EncodeToString(p)
	}
	emit(h.app.out, e)
	return len(p), nil
}

// dataEvent has what arrived: as text where it is UTF-8.
type dataEvent struct {
	Event  string `json:"event"`
	Peer   string `json:"peer"`
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
}
