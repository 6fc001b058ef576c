package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/api"
)

func TestWhatIsMalformed(t *testing.T) {
	s := serve(t, nil)
	_, theirs := s.open("x")
	for _, c := range []struct {
		status             int
		method, path, body string
	}{
		{400, "POST", "/v1/connections", `{`},
		{400, "POST", "/v1/connections", `{}`},
		{400, "POST", "/v1/connections", `{"target":"nonsense"}`},
		{400, "POST", "/v1/connections", `{"target":"a","nmae":"b"}`},
		{400, "POST", "/v1/connections", `{"target":"a"}{}`},
		{400, "POST", "/v1/connections", `{"target":"a","name":"../x"}`},
		{400, "POST", "/v1/connections", `{"target":"a","timeout_ms":120001}`},
		{400, "POST", "/v1/connections", `{"target":"` + strings.Repeat("a", 5000) + `"}`},
		{413, "POST", "/v1/connections", `{"target":"` + strings.Repeat("a", 20000) + `"}`},
		{409, "POST", "/v1/connections", fmt.Sprintf(`{"target":%q,"name":"x"}`, s.peer.Address())},
		{413, "POST", "/v1/connections/x/send", strings.Repeat("a", 1<<20+1)},
		{400, "POST", "/v1/connections/x/send?end=maybe", "a"},
		{400, "POST", "/v1/connections/x/receive?max=0", ""},
		{400, "POST", "/v1/connections/x/receive?max=1048577", ""},
		{400, "POST", "/v1/connections/x/receive?timeout_ms=-1", ""},
		{400, "POST", "/v1/connections/x/receive", "a body"},
		{400, "GET", "/v1/connections/x/tunnel", ""},
		{400, "GET", "/v1/events?after=x", ""},
		{404, "POST", "/v1/connections/y/send", "a"},
		{404, "GET", "/v1/nothing", ""},
		{404, "GET", "/nowhere", ""},
		{404, "POST", "/v1/shutdown", ""}, // not over TCP
		{405, "PUT", "/v1/connections", ""},
		{405, "GET", "/v1/connections/x/send", ""},
	} {
		got, _, text := s.ask(c.method, c.path, c.body)
		if got != c.status {
			t.Errorf("%s %s %.60q: %d, not %d: %s", c.method, c.path, c.body, got, c.status, text)
		}
	}
	if _, err := theirs.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
	if got := s.want(200, "POST", "/v1/connections/x/receive", ""); got != "still here" {
		t.Errorf("received %q", got)
	}
}

// A receive that waits keeps a connection from being idle, and from another. It is
// closed when it is idle.
func TestIdleConnections(t *testing.T) {
	for idle := 400 * time.Millisecond; ; idle *= 2 { // on a busy machine the first may be too short to do anything
		if idles(t, idle) {
			return
		}
		if idle > 20*time.Second {
			t.Fatalf("it does not last while it is in use, though it may be idle for %v", idle)
		}
	}
}

// idles reports whether all was as it should be; false where the connection was
// over before that could be seen.
func idles(t *testing.T, idle time.Duration) bool {
	t.Helper()
	s := serve(t, func(c *api.Config) { c.Connections = 1; c.Idle = idle })
	s.open("one")
	waiting := make(chan int, 1)
	go func() {
		status := 409
		for status == 409 { // the other one was first
			status, _, _ = s.ask("POST", fmt.Sprintf("/v1/connections/one/receive?timeout_ms=%d", 5*idle.Milliseconds()/2), "")
		}
		waiting <- status
	}()
	for status := 0; status != 409; {
		if status, _, _ = s.ask("POST", "/v1/connections/one/receive?timeout_ms=0", ""); status == 404 {
			<-waiting
			return false
		}
	}
	refused, _, _ := s.ask("POST", "/v1/connections", fmt.Sprintf(`{"target":%q}`, s.peer.Address()))
	if status := <-waiting; status != 204 {
		t.Errorf("the receive ended with %d", status)
	}
	if refused != 429 { // for a second one
		return false
	}
	eventually(t, func() bool { return s.want(200, "GET", "/v1/connections", "") == "[]\n" })
	return true
}

func TestLimits(t *testing.T) {
	s := serve(t, nil)
	status, _, _ := s.do(http.DefaultClient, "http://"+s.host, "GET", "/openapi.json", "", "X-Long", strings.Repeat("a", 10<<10))
	if status != 200 {
		t.Errorf("a header of 10 kB: %d", status)
	}
	r, _ := http.NewRequest("GET", "http://"+s.host+"/openapi.json", nil)
	r.Header.Set("X-Long", strings.Repeat("a", 64<<10))
	if resp, err := http.DefaultClient.Do(r); err == nil {
		if resp.Body.Close(); resp.StatusCode != 431 {
			t.Errorf("a header of 64 kB: %d", resp.StatusCode)
		}
	}
}

// FuzzOpen: whatever body comes, nothing panics, and what is accepted is sound.
func FuzzOpen(f *testing.F) {
	for _, text := range []string{`{"target":"x"}`, `{"target":"x","name":"a-b","echo":true,"timeout_ms":5}`, `{"target":"","name":"../.."}`, `[]`, `{"target":"a","timeout_ms":-1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var o api.Open
		if json.Unmarshal(b, &o) != nil || o.Validate() != nil {
			return
		}
		again, err := json.Marshal(o)
		var back api.Open
		if err != nil || json.Unmarshal(again, &back) != nil || back.Validate() != nil && !bytes.ContainsRune(b, 0xfffd) {
			t.Fatalf("%q became %q", b, again)
		}
		if o.Name != "" && !slices.ContainsFunc([]rune(o.Name), func(r rune) bool { return r != '-' && r != '_' }) && len(o.Name) > 32 {
			t.Fatalf("name %q", o.Name)
		}
		if strings.ContainsAny(o.Name, "/.%?# ") {
			t.Fatalf("name %q", o.Name)
		}
	})
}

func FuzzForwarding(f *testing.F) {
	good := `{"target":"x","forwards":[{"kind":"local","bind":"127.0.0.1:80","to":"a:1"},{"kind":"socks","bind":"[::1]:0"}],"timeout_ms":9}`
	seeds := []string{good, `{"target":"x","forwards":[]}`, `{"target":"x","forwards":[{"kind":"remote"}]}`, `{"target":"x","timeout_ms":120000}`, `null`}
	for _, text := range seeds {
		f.Add([]byte(text))
	}
	var first api.Forwarding
	if err := json.Unmarshal([]byte(good), &first); err != nil || first.Validate() != nil {
		f.Fatalf("the good one: %v, %v", err, first.Validate())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var w api.Forwarding
		if json.Unmarshal(b, &w) == nil && w.Validate() == nil {
			sameAgain(t, w)
			if len(w.Forwards) == 0 || len(w.Forwards) > 64 || w.Target == "" {
				t.Errorf("%q was taken", b)
			}
			for _, one := range w.Forwards {
				if len(one.Bind) > 300 || len(one.To) > 300 || one.To != "" && one.Kind == api.SOCKSForward {
					t.Errorf("%+v was taken", one)
				}
			}
		}
		var q api.Why
		if json.Unmarshal(b, &q) == nil && q.Validate() == nil {
			sameAgain(t, q)
		}
	})
}

// sameAgain writes a request and reads it again.
func sameAgain[T any](t *testing.T, v T) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back T
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%+v came back as %+v, %v", v, back, err)
	}
}
