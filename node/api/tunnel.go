package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/node/session"
)

// Close codes of a tunnel, beside 1000 for a connection that has ended well.
const (
	TunnelLost    = 4001 // the connection was lost; the reason says how
	TunnelShut    = 4002 // the peer takes no more, and not all was sent
	TunnelMisused = 4003 // the client sent what is neither bytes nor the end
)

// End is the one text message of a tunnel, in both directions: no more bytes
// come.
type End struct {
	End bool `json:"end"`
}

const (
	pieceSize   = 64 << 10
	goodbyeTime = time.Second
)

var upgrader = websocket.Upgrader{
	HandshakeTimeout: headerTime, ReadBufferSize: 4 << 10, WriteBufferSize: pieceSize + 16,
	CheckOrigin: func(*http.Request) bool { return true }, // the guard has
	Error: func(w http.ResponseWriter, _ *http.Request, _ int, reason error) {
		refuse(w, Invalid, reason.Error(), "a tunnel is a WebSocket")
	},
}

// tunnel joins a WebSocket to a connection: binary messages are bytes, whose
// borders mean nothing, and the text {"end":true} is the end of one direction.
// The connection ends with the tunnel: well after both ends or a close with 1000,
// otherwise so that the peer knows that it has not got all.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request, h *held) {
	if !seize(h.sending) {
		refuse(w, Conflict, "somebody else is sending on this connection", "")
		return
	}
	defer release(h.sending)
	if !seize(h.receiving) {
		refuse(w, Conflict, "somebody else is receiving on this connection", "")
		return
	}
	defer release(h.receiving)
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	t := &tunnelling{server: s, held: h, ws: ws, hung: make(chan struct{})}
	_ = h.conn.SetDeadline(time.Time{})
	t.run()
}

// tunnelling is a tunnel in use.
type tunnelling struct {
	server *Server
	held   *held
	ws     *websocket.Conn
	hung   chan struct{} // closed when nothing comes from the client any more
	left   bool          // it has closed well; to be looked at when hung is closed
}

func (t *tunnelling) run() {
	t.ws.SetReadLimit(maxData)
	stop := make(chan struct{})
	closed := make(chan struct{})
	up, down := make(chan error, 1), make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() {
		err := t.up()
		up <- err
		if err == nil { // it has ended, and may still go
			t.left = t.drain()
		}
		close(t.hung)
	})
	all.Go(func() { down <- t.down() })
	all.Go(func() { t.held.conn.WaitClosed(); close(closed) })
	all.Go(func() { // the end of the server ends its clients
		select {
		case <-t.server.ctx.Done():
			_ = t.ws.Close()
		case <-stop:
		}
	})
	err := t.verdict(up, down, closed)
	if errors.Is(err, errLeft) {
		err = nil
	}
	t.server.held.end(t.held, err != nil, reason(err))
	t.goodbye(err)
	_ = t.ws.Close()
	close(stop)
	all.Wait()
}

var (
	// errHungUp is a client that has gone without a word, errLeft one that has
	// closed well.
	errHungUp = errors.New("the client has hung up")
	errLeft   = errors.New("the client has left")
	// errMisuse is what a client sends that is no part of a tunnel.
	errMisuse = errors.New(`only binary messages and {"end":true} go through a tunnel`)
)

// verdict waits until both directions have ended, one has failed, or the peer is
// gone.
func (t *tunnelling) verdict(up, down <-chan error, closed <-chan struct{}) error {
	sending, hearing := true, true
	for sending || hearing {
		gone := closed
		if hearing {
			gone = nil // what it has sent is still to be read
		}
		select {
		case err := <-up:
			if err != nil {
				return err
			}
			sending = false
		case err := <-down:
			if err != nil {
				return err
			}
			hearing = false
		case <-gone:
			return nil
		case <-t.ifEnded(sending):
			if t.left {
				return errLeft
			}
			return errHungUp
		case <-t.server.ctx.Done():
			return errClosing
		}
	}
	return nil
}

// ifEnded is hung once the client has ended: before that, its error is up's.
func (t *tunnelling) ifEnded(sending bool) <-chan struct{} {
	if sending {
		return nil
	}
	return t.hung
}

// drain reads the client until it is gone, and reports whether it closed well.
func (t *tunnelling) drain() bool {
	for {
		if _, _, err := t.ws.NextReader(); err != nil {
			return websocket.IsCloseError(err, websocket.CloseNormalClosure)
		}
	}
}

// up hands on what the client sends, until its end.
func (t *tunnelling) up() error {
	for {
		kind, message, err := t.ws.NextReader()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return errLeft
		}
		if err != nil {
			return errHungUp
		}
		if kind == websocket.TextMessage {
			var e End
			b, err := io.ReadAll(message) // the message's length is bounded
			if err != nil {
				return errHungUp
			}
			if json.Unmarshal(b, &e) != nil || !e.End {
				return errMisuse
			}
			return t.held.conn.CloseWrite()
		}
		buf := make([]byte, pieceSize)
		for {
			n, err := message.Read(buf)
			if n > 0 {
				w, werr := t.held.conn.Write(buf[:n])
				t.held.sent.Add(uint64(w))
				if werr != nil {
					return werr
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errHungUp
			}
		}
	}
}

// down hands on what the peer sends, and its end.
func (t *tunnelling) down() error {
	buf := make([]byte, pieceSize)
	for {
		n, err := t.held.conn.Read(buf)
		if n > 0 {
			t.held.received.Add(uint64(n))
			_ = t.ws.SetWriteDeadline(time.Now().Add(t.server.cfg.Idle))
			if t.ws.WriteMessage(websocket.BinaryMessage, buf[:n]) != nil {
				return errHungUp
			}
		}
		if errors.Is(err, io.EOF) {
			t.held.ended.Store(true)
			// Behind what the client has yet to read: it waits as long as that does.
			_ = t.ws.SetWriteDeadline(time.Now().Add(t.server.cfg.Idle))
			if t.ws.WriteJSON(End{true}) != nil {
				return errHungUp
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// goodbye tells the client how it ended, and gives it a moment to answer.
func (t *tunnelling) goodbye(err error) {
	code := websocket.CloseNormalClosure
	switch {
	case errors.Is(err, errHungUp):
		return // to nobody
	case errors.Is(err, errMisuse):
		code = TunnelMisused
	case errors.Is(err, session.ErrPeerClosed):
		code = TunnelShut
	case err != nil:
		code = TunnelLost
	}
	why := reason(err)
	if t.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why[:min(len(why), 120)]), time.Now().Add(goodbyeTime)) != nil {
		return
	}
	wait := time.NewTimer(goodbyeTime)
	defer wait.Stop()
	select {
	case <-t.hung: // with its answer
	case <-wait.C:
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return plainly(err)
}
