package api_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/sallyport-net/sallyport/node/api"
)

func TestSendAndReceive(t *testing.T) {
	s := serve(t, nil)
	c, theirs := s.open("friend")
	if c.Name != "friend" || c.Peer != s.peer.ID().String() || !c.Ours || c.Via == "" || !c.Alive {
		t.Errorf("%+v", c)
	}
	s.want(204, "POST", "/v1/connections/friend/receive?timeout_ms=0", "")
	if n := decode[api.Sent](t, s.want(200, "POST", "/v1/connections/friend/send", "hello")); n.Sent != 5 {
		t.Errorf("%+v", n)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(theirs, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := theirs.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if got := s.want(200, "POST", "/v1/connections/friend/receive?max=3", ""); got != "ans" {
		t.Errorf("received %q", got)
	}
	if got := s.want(200, "POST", "/v1/connections/friend/receive", ""); got != "wer" {
		t.Errorf("received %q", got)
	}
	s.want(200, "POST", "/v1/connections/friend/send?end=true", "")
	if rest, err := io.ReadAll(theirs); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
	_ = theirs.Close()
	status, h, text := s.ask("POST", "/v1/connections/friend/receive", "")
	if status != 200 || text != "" || h.Get("Sallyport-End") != "true" {
		t.Errorf("at the end: %d %q %v", status, text, h)
	}
	if c := decode[api.Connection](t, s.want(200, "GET", "/v1/connections/friend", "")); !c.Ended || c.Sent != 5 || c.Received != 6 {
		t.Errorf("%+v", c)
	}
	if all := decode[[]api.Connection](t, s.want(200, "GET", "/v1/connections", "")); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	s.want(204, "DELETE", "/v1/connections/friend", "")
	s.want(404, "GET", "/v1/connections/friend", "")
	if s.want(200, "GET", "/v1/connections", "") != "[]\n" {
		t.Error("a closed connection is listed")
	}
}

// What a peer opens is held for clients, too.
func TestAcceptedConnectionsAreHeld(t *testing.T) {
	s := serve(t, nil)
	c, err := s.peer.ConnectAddress(t.Context(), s.node.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("knock")); err != nil {
		t.Fatal(err)
	}
	var all []api.Connection
	eventually(t, func() bool {
		all = decode[[]api.Connection](t, s.want(200, "GET", "/v1/connections", ""))
		return len(all) == 1
	})
	if all[0].Ours || all[0].Peer != s.peer.ID().String() {
		t.Errorf("%+v", all)
	}
	if got := s.want(200, "POST", "/v1/connections/"+all[0].Name+"/receive", ""); got != "knock" {
		t.Errorf("received %q", got)
	}
}

func TestEcho(t *testing.T) {
	s := serve(t, nil)
	c := decode[api.Connection](t, s.want(201, "POST", "/v1/connections", fmt.Sprintf(`{"target":%q,"echo":true}`, s.peer.Address())))
	s.want(200, "POST", "/v1/connections/"+c.Name+"/send", "hello")
	if got := s.want(200, "POST", "/v1/connections/"+c.Name+"/receive", ""); got != "hello" || !c.Echo || c.Name != "c1" {
		t.Errorf("received %q on %+v", got, c)
	}
}
