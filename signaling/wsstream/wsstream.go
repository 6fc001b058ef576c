// Package wsstream makes a stream of bytes of a WebSocket, as MQTT wants it
// (MQTT 3.1.1, 6): binary messages, one after the other, whose borders mean
// nothing.
package wsstream

import (
	"errors"
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// ErrNotBinary is a message that is not binary [MQTT-6.0.0-1].
var ErrNotBinary = errors.New("a WebSocket message that is not binary")

// goodbye bounds the sending of a close frame.
const goodbye = 100 * time.Millisecond

// Conn is a WebSocket as a net.Conn. Nothing is held of a message but a
// buffer's worth, however long it is.
type Conn struct {
	*websocket.Conn
	message io.Reader // what is left of the current message, or nil
}

// New takes over ws.
func New(ws *websocket.Conn) *Conn { return &Conn{Conn: ws} }

// Read is for one caller at a time.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, ErrNotBinary
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
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close says goodbye, if that goes without much waiting, and closes what is
// beneath.
func (c *Conn) Close() error {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.WriteControl(websocket.CloseMessage, bye, time.Now().Add(goodbye))
	return c.Conn.Close()
}
