package api_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport-net/sallyport/node/api"
)

// pipes is a listener whose connections hold nothing: what is written waits until
// it is read, as behind buffers that are full.
type pipes struct {
	arriving chan net.Conn
	closed   chan struct{}
	close    func()
}

func newPipes() *pipes {
	p := &pipes{arriving: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.arriving:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.arriving <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// A client of a tunnel may take its time before it reads the end, as it may before
// it reads what comes before.
func TestAClientThatRestsBeforeTheEnd(t *testing.T) {
	s := serve(t, nil)
	l := newPipes()
	served := make(chan error, 1)
	go func() { served <- s.api.ServeUnix(l) }()
	defer func() {
		report(t, s.api.Close())
		report(t, <-served)
	}()
	_, theirs := s.open("x")
	d := websocket.Dialer{NetDialContext: l.dial}
	ws, _, err := d.Dial("ws://sallyport/v1/connections/x/tunnel", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := theirs.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	if err := theirs.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if kind, b, err := ws.ReadMessage(); kind != websocket.BinaryMessage || string(b) != "all" {
		t.Fatalf("%d %q, %v", kind, b, err)
	}
	time.Sleep(1500 * time.Millisecond) // the stimulus: longer than a goodbye may take
	_, b, err := ws.ReadMessage()
	if err != nil || !decode[api.End](t, string(b)).End {
		t.Errorf("instead of the end %q, %v", b, err)
	}
}
