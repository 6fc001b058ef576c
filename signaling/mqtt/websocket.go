package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// upgrade makes conn, which has TLS already where it needs it, a WebSocket.
// gorilla is given it in place of a dialer, whatever the scheme.
func (e endpoint) upgrade(ctx context.Context, conn net.Conn) (*wsConn, error) {
	have := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	d := websocket.Dialer{
		NetDialContext:    have,
		NetDialTLSContext: have,
		Subprotocols:      []string{"mqtt"},
		ReadBufferSize:    1024,
		WriteBufferSize:   1024,
	}
	u := *e.url
	u.User = nil // gorilla refuses them; they are for MQTT
	ws, resp, err := d.DialContext(ctx, u.String(), nil)
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		return nil, fmt.Errorf("no WebSocket there: HTTP status %d", resp.StatusCode)
	}
	if err != nil {
		return nil, err
	}
	return &wsConn{Conn: ws}, nil
}

// wsConn is a WebSocket as a stream: its binary messages, one after the other.
// Nothing is held of a message but a buffer's worth, however long it is.
type wsConn struct {
	*websocket.Conn
	message io.Reader // what is left of the current message, or nil
}

var errNotBinary = errors.New("a WebSocket message that is not binary")

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage { // [MQTT-6.0.0-1]
				return 0, errNotBinary
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write sends p as one message. It is for one caller at a time.
func (c *wsConn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close says goodbye, if that goes without waiting, and closes what is beneath.
func (c *wsConn) Close() error {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.WriteControl(websocket.CloseMessage, bye, time.Now().Add(100*time.Millisecond))
	return c.Conn.Close()
}

func (c *wsConn) SetDeadline(time.Time) error { return nil } // the wire has its own
