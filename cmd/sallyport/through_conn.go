package main

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

// tunnelConn is a connection through the node in the background.
type tunnelConn struct {
	*websocket.Conn
	*remotePath
	peer address.Key
	took time.Duration

	message io.Reader // what is left of the current one
	ended   bool      // the peer has
}

// tunnel joins a connection that the node in the background holds.
func (c *control) tunnel(ctx context.Context, peer address.Key, held api.Connection) (*tunnelConn, error) {
	dialer := websocket.Dialer{NetDialContext: c.dial, HandshakeTimeout: controlAnswer}
	ws, _, err := dialer.DialContext(ctx, "ws://sallyport/v1/connections/"+held.Name+"/tunnel", nil)
	if err != nil {
		return nil, failed(err, "try again", "the node in the background has lost the connection")
	}
	took := time.Duration(held.TookMS * float64(time.Millisecond))
	return &tunnelConn{Conn: ws, remotePath: c.watch(held), peer: peer, took: took}, nil
}

func (c *tunnelConn) Peer() address.Key   { return c.peer }
func (c *tunnelConn) Took() time.Duration { return c.took }

// RemoteAddr is the peer's address, not that of the node in the background.
func (c *tunnelConn) RemoteAddr() net.Addr { return c.remotePath.RemoteAddr() }

// Verdict is known: the node in the background has waited for the peer's yes.
func (c *tunnelConn) Verdict() error { return nil }

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
	c.remotePath.close()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.WriteControl(websocket.CloseMessage, bye, time.Now().Add(inFlight))
	return c.Conn.Close()
}

// Reset ends it so that the peer knows that it has not got all.
func (c *tunnelConn) Reset() error {
	c.remotePath.close()
	return c.Conn.Close()
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
