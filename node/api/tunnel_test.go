package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

func (s *served) tunnel(name string) *websocket.Conn {
	s.t.Helper()
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.sock)
	}}
	ws, _, err := d.Dial("ws://sallyport/v1/connections/"+name+"/tunnel", http.Header{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
	return ws
}

func TestTunnel(t *testing.T) {
	s := serve(t, nil)
	_, theirs := s.open("x")
	ws := s.tunnel("x")
	if status, _, _ := s.ask("POST", "/v1/connections/x/send", "me too"); status != 409 {
		t.Errorf("a send beside the tunnel: %d", status)
	}
	sum := make(chan [32]byte, 1)
	go func() { // the peer sends everything back, and then a hash of it
		h := sha256.New()
		_, _ = io.Copy(io.MultiWriter(theirs, h), theirs)
		_ = theirs.CloseWrite()
		sum <- [32]byte(h.Sum(nil))
	}()
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data)
	go func() {
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 300_000)
			_ = ws.WriteMessage(websocket.BinaryMessage, rest[:n])
			rest = rest[n:]
		}
		_ = ws.WriteJSON(api.End{End: true})
	}()
	var back bytes.Buffer
	for {
		kind, b, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if kind == websocket.TextMessage {
			if e := decode[api.End](t, string(b)); !e.End {
				t.Errorf("%s", b)
			}
			break
		}
		back.Write(b)
	}
	if <-sum != sha256.Sum256(data) || !bytes.Equal(back.Bytes(), data) {
		t.Errorf("%d bytes came back, of %d", back.Len(), len(data))
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("at the end: %v", err)
	}
	s.want(404, "GET", "/v1/connections/x", "")
}

// How a tunnel ends, and what each side learns.
func TestTunnelEnds(t *testing.T) {
	s := serve(t, nil)
	read := func(c *node.Conn) error {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := io.Copy(io.Discard, c)
		return err
	}
	closing := func(ws *websocket.Conn) int {
		for {
			_, _, err := ws.ReadMessage()
			var c *websocket.CloseError
			if errors.As(err, &c) {
				return c.Code
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("the client vanishes", func(t *testing.T) {
		_, theirs := s.open("x")
		_ = s.tunnel("x").UnderlyingConn().Close()
		if err := read(theirs); err == nil {
			t.Error("the peer reads a clean end")
		}
	})
	t.Run("the client vanishes after its end", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		_ = ws.WriteJSON(api.End{End: true})
		if err := read(theirs); err != nil {
			t.Error(err)
		}
		_ = ws.UnderlyingConn().Close()
		eventually(t, func() bool { _, err := theirs.Write([]byte("x")); return err != nil })
	})
	t.Run("the client closes", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
		if err := read(theirs); err != nil {
			t.Errorf("the peer reads %v", err)
		}
		if code := closing(ws); code != websocket.CloseNormalClosure {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("the peer closes", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		_ = theirs.Close()
		if code := closing(ws); code != websocket.CloseNormalClosure {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("the peer gives up", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		_ = theirs.Reset()
		if code := closing(ws); code != api.TunnelLost {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("the client talks", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		_ = ws.WriteMessage(websocket.TextMessage, []byte("hello"))
		if code := closing(ws); code != api.TunnelMisused {
			t.Errorf("closed with %d", code)
		}
		if err := read(theirs); err == nil {
			t.Error("the peer reads a clean end")
		}
	})
	t.Run("a message is too long", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		go ws.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20+1)) // waits for the peer to read
		if err := read(theirs); err == nil {
			t.Error("the peer reads a clean end")
		}
	})
	t.Run("the API closes", func(t *testing.T) {
		_, theirs := s.open("x")
		ws := s.tunnel("x")
		s.want(204, "DELETE", "/v1/connections/x", "")
		closing(ws)
		if err := read(theirs); err != nil {
			t.Errorf("the peer reads %v", err)
		}
	})
}
