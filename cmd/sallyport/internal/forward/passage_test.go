package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/session"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// What has ended a connection is told in words, with what would help.
func TestPassagesThatFail(t *testing.T) {
	to := tunnel.Place{Host: "127.0.0.1", Port: 80}
	for _, c := range []struct {
		err         error
		refused     bool
		error, hint string
	}{
		{nil, false, "", ""},
		{fmt.Errorf("open: %w", session.ErrTooOld), false, "the peer's version is too old to be asked for forwards by this one", "update Sallyport at the peer"},
		{session.ErrNotServed, false, "the peer's node does not serve forwards", "ask the peer to start its node with --allow-forward 127.0.0.1:80"},
		{&tunnel.RefusedError{Kind: tunnel.Dial, Place: to, Status: tunnel.NotAllowed}, true, "127.0.0.1:80: not allowed by the peer", "ask the peer to start its node with --allow-forward 127.0.0.1:80"},
		{os.ErrDeadlineExceeded, false, "the peer does not answer", ""},
		{context.DeadlineExceeded, false, "the peer does not answer", ""},
		{io.ErrUnexpectedEOF, false, "the connection was cut", ""},
	} {
		var told []api.ForwardEvent
		f := newForwarder(Config{Tell: func(e api.ForwardEvent) { told = append(told, e) }})
		f.tellClosed(t.Context(), &passage{number: 7, kind: Local, to: to, Traffic: pipe.Traffic{Err: c.err}})
		if e := told[0]; len(told) != 1 || e.Event != "closed" || e.Number != 7 || e.Error != c.error || e.Hint != c.hint || e.Refused != c.refused {
			t.Errorf("%v is told as %+v", c.err, told)
		}
	}
	// The end of the command is nobody's failure.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	newForwarder(Config{Tell: func(e api.ForwardEvent) {
		if e.Error != "" {
			t.Errorf("%+v", e)
		}
	}}).tellClosed(ctx, &passage{Traffic: pipe.Traffic{Err: errors.New("cut")}})
}

// A forward is the same on both sides of the API.
func TestSpecsOnTheWire(t *testing.T) {
	for kind, texts := range map[Kind][]string{
		Local:  {"8080", "0:Example.org:80", "*:8080:h:80", "[::1]:8080:[fd00::1]:80"},
		Remote: {"0.0.0.0:1:h:2", "8080:127.0.0.1:80"},
		SOCKS:  {"1080", "[::1]:1080"},
	} {
		for _, text := range texts {
			s, err := Parse(kind, text)
			if err != nil {
				t.Fatal(err)
			}
			if err := (api.Forwarding{Target: "x", Forwards: []api.Forward{s.API()}}).Validate(); err != nil {
				t.Errorf("%s %s: %v", kind, text, err)
			}
			if back, err := OfAPI(s.API()); err != nil || back != s {
				t.Errorf("%s %s comes back as %+v, %v", kind, text, back, err)
			}
		}
	}
	for _, bad := range []api.Forward{
		{Kind: "local", Bind: ""}, {Kind: "local", Bind: "localhost:1"}, {Kind: "local", Bind: "127.0.0.1:99999"}, {Kind: "socks", Bind: "[fe80::1%lo]:1"},
		{Kind: "local", Bind: "127.0.0.1:1", To: "0.0.0.0:1"}, {Kind: "local", Bind: "127.0.0.1:1", To: strings.Repeat("x", 300) + ":1"},
	} {
		if s, err := OfAPI(bad); err == nil {
			t.Errorf("%+v is taken for %+v", bad, s)
		}
	}
}
