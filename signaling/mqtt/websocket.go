package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/signaling/wsstream"
)

// upgrade makes conn, which has TLS already where it needs it, a WebSocket.
// gorilla is given it in place of a dialer, whatever the scheme.
func (e endpoint) upgrade(ctx context.Context, conn net.Conn) (*wsstream.Conn, error) {
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
	return wsstream.New(ws), nil
}
