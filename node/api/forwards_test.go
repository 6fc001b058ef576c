package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/api"
)

// forwarding is what the tests have the node forward: nothing, and it tells of it
// until it is ended.
type forwarding struct {
	begun chan api.Forwarding
	ended chan error // the cause
	fail  error      // instead, at once
}

func (f *forwarding) forward(ctx context.Context, _ address.Address, want api.Forwarding, tell func(api.ForwardEvent)) error {
	if f.fail != nil {
		return f.fail
	}
	f.begun <- want
	tell(api.ForwardEvent{Event: "connected", Via: "direct"})
	for _, one := range want.Forwards {
		tell(api.ForwardEvent{Event: "listening", Kind: one.Kind, Bind: one.Bind, To: one.To})
	}
	tell(api.ForwardEvent{Event: "opened", Number: 1})
	tell(api.ForwardEvent{Event: "opened", Number: 2})
	tell(api.ForwardEvent{Event: "closed", Number: 1})
	<-ctx.Done()
	f.ended <- context.Cause(ctx)
	return ctx.Err()
}

func serveForwards(t *testing.T) (*served, *forwarding) {
	f := &forwarding{begun: make(chan api.Forwarding, 20), ended: make(chan error, 20)}
	return serve(t, func(c *api.Config) { c.Forward = f.forward }), f
}

// begin begins one, and gives its events up to the last that is told, and what
// hangs up.
func (s *served) begin(t *testing.T, path string) (lines *json.Decoder, name string, hangUp func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	body := fmt.Sprintf(`{"target":%q,"forwards":[{"kind":"local","bind":"127.0.0.1:0","to":"127.0.0.1:80"}]}`, s.peer.Address())
	r, err := http.NewRequestWithContext(ctx, "POST", "http://sallyport"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.local.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%s, %v", resp.Status, resp.Header)
	}
	lines = json.NewDecoder(resp.Body)
	for _, want := range []string{"connected", "listening", "opened", "opened", "closed"} {
		var e api.ForwardEvent
		if err := lines.Decode(&e); err != nil || e.Event != want {
			t.Fatalf("%+v, %v, not %s", e, err, want)
		}
	}
	return lines, resp.Header.Get(api.ForwardHeader), cancel
}

func (s *served) forwards(t *testing.T) []api.ForwardState {
	return decode[[]api.ForwardState](t, s.want(200, "GET", "/v1/forwards", ""))
}

// A forward lasts as long as the request for it, and no longer.
func TestAForwardEndsWithItsClient(t *testing.T) {
	s, f := serveForwards(t)
	_, name, hangUp := s.begin(t, "/v1/forwards")
	<-f.begun
	list := s.forwards(t)
	if len(list) != 1 || list[0].Name != name || list[0].Open != 1 || list[0].Peer != s.peer.ID().String() ||
		len(list[0].Forwards) != 1 || list[0].Forwards[0] != (api.Forward{Kind: "local", Bind: "127.0.0.1:0", To: "127.0.0.1:80"}) {
		t.Errorf("%+v", list)
	}
	hangUp()
	select {
	case <-f.ended:
	case <-time.After(time.Minute):
		t.Fatal("it goes on without its client")
	}
	for deadline := time.Now().Add(time.Minute); len(s.forwards(t)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still listed")
		}
	}
}

// Another client may end it: it is over when that is answered, and its own client
// is told.
func TestAForwardIsEnded(t *testing.T) {
	s, f := serveForwards(t)
	lines, name, _ := s.begin(t, "/v1/forwards")
	status, _, text := s.do(s.local, "http://sallyport", "DELETE", "/v1/forwards/"+name, "")
	if status != 204 {
		t.Fatalf("%d: %s", status, text)
	}
	select {
	case <-f.ended:
	default:
		t.Error("it was answered before that had ended")
	}
	var e api.ForwardEvent
	if err := lines.Decode(&e); err != nil || e.Event != "failed" || e.Code != api.Ended || e.Error == "" {
		t.Errorf("the last line is %+v, %v", e, err)
	}
	if err := lines.Decode(&e); err == nil {
		t.Errorf("and then %+v", e)
	}
	if status, _, _ := s.do(s.local, "http://sallyport", "DELETE", "/v1/forwards/"+name, ""); status != 404 {
		t.Errorf("ending it again gives %d", status)
	}
}

func TestForwardsThatAreRefused(t *testing.T) {
	s, f := serveForwards(t)
	target := s.peer.Address().String()
	// The page and those with the token may look at them, and nothing else.
	good := fmt.Sprintf(`{"target":%q,"forwards":[{"kind":"local","bind":"127.0.0.1:0","to":"127.0.0.1:80"}]}`, target)
	s.want(405, "POST", "/v1/forwards", good)
	s.want(404, "DELETE", "/v1/forwards/f1", "")
	for _, bad := range []string{
		`{}`, fmt.Sprintf(`{"target":%q,"forwards":[]}`, target),
		fmt.Sprintf(`{"target":%q,"forwards":[%s]}`, target, strings.Repeat(`{"kind":"socks","bind":"127.0.0.1:0"},`, 64)+`{"kind":"socks","bind":"127.0.0.1:0"}`),
		fmt.Sprintf(`{"target":%q,"forwards":[{"kind":"udp","bind":"127.0.0.1:0"}]}`, target),
		fmt.Sprintf(`{"target":%q,"forwards":[{"kind":"remote","bind":"127.0.0.1:0"}]}`, target),
		fmt.Sprintf(`{"target":%q,"forwards":[{"kind":"socks","bind":"127.0.0.1:0","to":"127.0.0.1:80"}]}`, target),
		fmt.Sprintf(`{"target":%q,"timeout_ms":1000000,"forwards":[{"kind":"socks","bind":"127.0.0.1:0"}]}`, target),
		fmt.Sprintf(`{"target":%q,"forwards":[{"kind":"socks","bind":%q}]}`, target, strings.Repeat("1", 301)),
		`{"target":"nonsense","forwards":[{"kind":"socks","bind":"127.0.0.1:0"}]}`,
	} {
		if status, _, text := s.do(s.local, "http://sallyport", "POST", "/v1/forwards", bad); status != 400 {
			t.Errorf("%d for %s: %s", status, bad, text)
		}
	}
	if len(f.begun) > 0 {
		t.Error("one of them was begun")
	}
	// What fails before anything is told has a status of its own.
	f.fail = errors.New("no way")
	if status, _, text := s.do(s.local, "http://sallyport", "POST", "/v1/forwards", good); status != 502 || !strings.Contains(text, "no way") {
		t.Errorf("%d: %s", status, text)
	}
	f.fail = nil
	for range 16 {
		s.begin(t, "/v1/forwards")
	}
	if status, _, _ := s.do(s.local, "http://sallyport", "POST", "/v1/forwards", good); status != 429 {
		t.Errorf("one more gives %d", status)
	}
}

// A client that does not read loses events, and is told how many; nobody waits for
// it.
func TestASlowClientOfAForward(t *testing.T) {
	flood, told := make(chan struct{}), make(chan struct{})
	const many = 100_000
	s := serve(t, func(c *api.Config) {
		c.Forward = func(ctx context.Context, _ address.Address, _ api.Forwarding, tell func(api.ForwardEvent)) error {
			for _, event := range []string{"connected", "listening", "opened", "opened", "closed"} {
				tell(api.ForwardEvent{Event: event})
			}
			<-flood
			for n := range many {
				tell(api.ForwardEvent{Event: "reset", Number: n, Error: strings.Repeat("x", 100)})
			}
			close(told)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	lines, name, _ := s.begin(t, "/v1/forwards")
	close(flood)
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("it waits for its client")
	}
	r, err := http.NewRequestWithContext(t.Context(), "DELETE", "http://sallyport/v1/forwards/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error, 1)
	go func() {
		resp, err := s.local.Do(r)
		if err == nil {
			err = resp.Body.Close()
		}
		deleted <- err
	}()
	came, lost := 0, 0
	for {
		var e api.ForwardEvent
		if err := lines.Decode(&e); err != nil {
			t.Fatal(err)
		}
		lost += e.Dropped
		if e.Event == "failed" {
			break
		}
		came++
	}
	if err := <-deleted; err != nil {
		t.Error(err)
	}
	if came == 0 || lost == 0 || came+lost > many {
		t.Errorf("%d came, %d were lost, of %d", came, lost, many)
	}
}
