package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/session"
)

// lastWord is how long a Close waits at most to say that all was said.
const lastWord = 100 * time.Millisecond

// Conn is a connection through the node in the background. It is a net.Conn with
// half-close, as a node.Conn is.
type Conn struct {
	ws *websocket.Conn
	*Path
	peer address.Key
	took time.Duration

	message io.Reader // what is left of the current one
	ended   bool      // the peer has
}

// Tunnel joins a connection that the node in the background holds.
func (c *Client) Tunnel(ctx context.Context, peer address.Key, held api.Connection) (*Conn, error) {
	dialer := websocket.Dialer{NetDialContext: c.dial, HandshakeTimeout: AnswerTime}
	ws, _, err := dialer.DialContext(ctx, "ws://sallyport/v1/connections/"+held.Name+"/tunnel", nil)
	if err != nil {
		return nil, failed(err, "try again", "the node in the background has lost the connection")
	}
	took := time.Duration(held.TookMS * float64(time.Millisecond))
	return &Conn{ws: ws, Path: c.watch(held), peer: peer, took: took}, nil
}

// Peer is whose connection it is.
func (c *Conn) Peer() address.Key { return c.peer }

// Took is how long connecting took.
func (c *Conn) Took() time.Duration { return c.took }

// LocalAddr is this end of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.ws.LocalAddr() }

// Verdict is known: the node in the background has waited for the peer's yes.
func (c *Conn) Verdict() error { return nil }

// Read gives what the peer has said. Its error is io.EOF where the peer has ended, and
// io.ErrUnexpectedEOF where it was cut off.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.ended {
			return 0, io.EOF
		}
		if c.message == nil {
			kind, r, err := c.ws.NextReader()
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

// Write says something to the peer. Its error is session.ErrPeerClosed where that takes
// no more.
func (c *Conn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), 256<<10)
		if err := c.ws.WriteMessage(websocket.BinaryMessage, p[:k]); err != nil {
			return n, session.ErrPeerClosed
		}
		n, p = n+k, p[k:]
	}
	return n, nil
}

// CloseWrite tells the peer that nothing follows.
func (c *Conn) CloseWrite() error { return c.ws.WriteJSON(api.End{End: true}) }

// WaitClosed waits until the connection is over. It is for after the peer's end.
func (c *Conn) WaitClosed() {
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return
		}
	}
}

// SetReadDeadline bounds what waits in Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.ws.SetReadDeadline(t) }

// SetWriteDeadline bounds what waits in Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.ws.SetWriteDeadline(t) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close ends the connection; what was written is delivered.
func (c *Conn) Close() error {
	c.Path.close()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(lastWord))
	return c.ws.Close()
}

// Reset ends it so that the peer knows that it has not got all.
func (c *Conn) Reset() error {
	c.Path.close()
	return c.ws.Close()
}

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
