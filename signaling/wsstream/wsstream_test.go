package wsstream_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/signaling/wsstream"
)

var _ net.Conn = (*wsstream.Conn)(nil)

// pair connects a plain WebSocket to one that is a stream.
func pair(t *testing.T) (*websocket.Conn, *wsstream.Conn) {
	t.Helper()
	accepted := make(chan *websocket.Conn, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil); err == nil {
			accepted <- ws
		}
	}))
	t.Cleanup(s.Close)
	far, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	near := wsstream.New(<-accepted)
	t.Cleanup(func() { far.Close(); near.Close() })
	return far, near
}

func TestMessagesBecomeOneStream(t *testing.T) {
	far, near := pair(t)
	want := bytes.Repeat([]byte("0123456789"), 1000)
	go func() {
		for rest, n := want, 0; len(rest) > 0; n++ {
			k := min(n*7, len(rest)) // the first is empty
			_ = far.WriteMessage(websocket.BinaryMessage, rest[:k])
			rest = rest[k:]
		}
	}()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read: %v, equal %v", err, bytes.Equal(got, want))
	}
	if n, err := near.Write([]byte("whole")); n != 5 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	if kind, p, err := far.ReadMessage(); kind != websocket.BinaryMessage || string(p) != "whole" || err != nil {
		t.Fatalf("message %d %q, %v", kind, p, err)
	}
}

func TestTextIsRefused(t *testing.T) {
	far, near := pair(t)
	if err := far.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, wsstream.ErrNotBinary) {
		t.Fatalf("Read: %v", err)
	}
}

func TestDeadlineAndGoodbye(t *testing.T) {
	far, near := pair(t)
	if err := near.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := near.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("Read past the deadline: %v", err)
	}
	_ = near.Close()
	if _, _, err := far.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Fatalf("the other end was told %v", err)
	}
}
