package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "correct-horse"

// served is a node with its API on both listeners, and a peer that it can call.
type served struct {
	t      *testing.T
	api    *api.Server
	node   *node.Node
	peer   *node.Node
	theirs <-chan *node.Conn // what the peer accepts
	host   string            // of the TCP listener
	sock   string
	local  *http.Client // on the Unix socket
	ended  chan struct{}
}

func serve(t *testing.T, change func(*api.Config)) *served {
	t.Helper()
	b, err := broker.Start(broker.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	cfg := node.Config{Brokers: []address.Broker{{URL: b.URL()}}, STUN: []string{}, Interfaces: []string{"lo"}, NoLAN: true}
	s := &served{t: t, ended: make(chan struct{})}
	s.node, s.peer = start(t, cfg), start(t, cfg)
	s.theirs = accept(t, s.peer)
	mine := accept(t, s.node)
	c := api.Config{Node: s.node, Token: token, Version: api.Version{Version: "v0", Go: "go1", System: "test"},
		Shutdown: sync.OnceFunc(func() { close(s.ended) })}
	if change != nil {
		change(&c)
	}
	if s.api, err = api.New(c); err != nil {
		t.Fatal(err)
	}
	s.sock = filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", s.sock)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.host = tcp.Addr().String()
	var all sync.WaitGroup
	all.Go(func() { report(t, s.api.ServeUnix(unix)) })
	all.Go(func() { report(t, s.api.ServeTCP(tcp)) })
	all.Go(func() {
		for c := range mine {
			s.api.Take(c)
		}
	})
	s.local = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.sock)
	}}}
	t.Cleanup(func() {
		s.local.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		report(t, s.api.Close())
		_ = s.node.Close()
		all.Wait()
	})
	return s
}

func report(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

func start(t *testing.T, cfg node.Config) *node.Node {
	t.Helper()
	n, err := node.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func accept(t *testing.T, n *node.Node) <-chan *node.Conn {
	conns := make(chan *node.Conn, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(conns)
		for {
			c, err := n.Accept()
			if err != nil {
				return
			}
			conns <- c.(*node.Conn)
		}
	}()
	t.Cleanup(func() {
		n.Close()
		<-done
		for c := range conns {
			c.Close()
		}
	})
	return conns
}

// ask makes a request over TCP with the token, and gives status, headers and body.
func (s *served) ask(method, path, body string) (int, http.Header, string) {
	s.t.Helper()
	return s.do(http.DefaultClient, "http://"+s.host, method, path, body, "Authorization", "Bearer "+token)
}

// do makes a request; headers are names and values in turn.
func (s *served) do(client *http.Client, base, method, path, body string, headers ...string) (int, http.Header, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for k := 0; k < len(headers); k += 2 {
		if headers[k] == "Host" {
			r.Host = headers[k+1]
			continue
		}
		r.Header.Set(headers[k], headers[k+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode >= 400 && !strings.Contains(path, "nowhere.js") {
		var p api.Problem
		if err := json.Unmarshal(b, &p); err != nil || p.Error == "" || p.Code == "" {
			s.t.Errorf("%s %s: %d without an explanation: %q", method, path, resp.StatusCode, b)
		}
	}
	return resp.StatusCode, resp.Header, string(b)
}

// want is ask where one status alone will do.
func (s *served) want(status int, method, path, body string) string {
	s.t.Helper()
	got, _, text := s.ask(method, path, body)
	if got != status {
		s.t.Fatalf("%s %s: %d, not %d: %s", method, path, got, status, text)
	}
	return text
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// open opens a connection of that name to the peer.
func (s *served) open(name string) (api.Connection, *node.Conn) {
	s.t.Helper()
	c := decode[api.Connection](s.t, s.want(201, "POST", "/v1/connections", fmt.Sprintf(`{"target":%q,"name":%q}`, s.peer.Address(), name)))
	select {
	case theirs := <-s.theirs:
		s.t.Cleanup(func() { theirs.Close() })
		return c, theirs
	case <-time.After(20 * time.Second):
		s.t.Fatal("the peer has accepted nothing")
		return c, nil
	}
}

func TestDescriptions(t *testing.T) {
	s := serve(t, nil)
	if v := decode[api.Version](t, s.want(200, "GET", "/v1/version", "")); v.Version != "v0" {
		t.Errorf("%+v", v)
	}
	st := decode[api.Status](t, s.want(200, "GET", "/v1/status", ""))
	if st.Address.ID != s.node.ID().String() || len(st.Brokers) != 1 || !st.Brokers[0].Open || st.URL != "http://"+s.host+"/" || len(st.Interfaces) == 0 || st.Verdict == "" {
		t.Errorf("%+v", st)
	}
	a := decode[api.Address](t, s.want(200, "GET", "/v1/address", ""))
	other := decode[api.Address](t, s.want(200, "GET", "/v1/address?target="+s.peer.ID().String(), ""))
	if a.ID != s.node.ID().String() || other.ID != s.peer.ID().String() || !other.Key {
		t.Errorf("%+v, %+v", a, other)
	}
	s.want(400, "GET", "/v1/address?target=nonsense", "")
	q := decode[api.Drawing](t, s.want(200, "GET", "/v1/address/qr", ""))
	if q.Text != a.Compact || q.Size < 21 || !strings.HasPrefix(q.Path, "M0 0h7v1h-7z") { // the corner of every QR code
		t.Errorf("%+v", q)
	}
	if status, _, text := s.do(s.local, "http://sallyport", "GET", "/v1/status", ""); status != 200 {
		t.Errorf("on the Unix socket: %d %s", status, text)
	}
}

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

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
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

func TestCallsThatFail(t *testing.T) {
	asked := make(chan error, 1)
	s := serve(t, func(c *api.Config) {
		c.Explain = func(err error) api.Problem {
			asked <- err
			return api.Problem{Error: "explained", Hint: "a hint", Code: api.Absent}
		}
	})
	target := s.peer.Address()
	_ = s.peer.Close()
	status, _, text := s.ask("POST", "/v1/connections", fmt.Sprintf(`{"target":%q,"timeout_ms":2000}`, target))
	p := decode[api.Problem](t, text)
	var call *node.ConnectError
	if status != 504 || p.Error != "explained" || p.Code != api.Absent || len(p.Attempts) == 0 || !errors.As(<-asked, &call) {
		t.Errorf("%d %+v", status, p)
	}
	if s.want(200, "GET", "/v1/connections", "") != "[]\n" {
		t.Error("a failed connection is listed")
	}
}

func TestARefusal(t *testing.T) {
	s := serve(t, nil)
	nobody := signaling.Nobody()
	cfg := node.Config{Brokers: s.node.Address().Brokers, STUN: []string{}, Interfaces: []string{"lo"}, NoLAN: true, Admission: &nobody}
	stern := start(t, cfg)
	accept(t, stern)
	status, _, text := s.ask("POST", "/v1/connections", fmt.Sprintf(`{"target":%q}`, stern.Address()))
	if p := decode[api.Problem](t, text); status != 502 || p.Code != api.Refused || p.Hint == "" {
		t.Errorf("%d %+v", status, p)
	}
}

func TestLimits(t *testing.T) {
	s := serve(t, func(c *api.Config) { c.Connections = 1; c.Idle = 400 * time.Millisecond })
	s.open("one")
	// A receive that waits keeps it from being idle, and from another.
	waiting := make(chan int, 1)
	go func() {
		status := 409
		for status == 409 { // the other one was first
			status, _, _ = s.ask("POST", "/v1/connections/one/receive?timeout_ms=1000", "")
		}
		waiting <- status
	}()
	eventually(t, func() bool {
		status, _, _ := s.ask("POST", "/v1/connections/one/receive?timeout_ms=0", "")
		return status == 409
	})
	if status, _, text := s.ask("POST", "/v1/connections", fmt.Sprintf(`{"target":%q}`, s.peer.Address())); status != 429 {
		t.Errorf("a second connection: %d %s", status, text)
	}
	if status := <-waiting; status != 204 {
		t.Errorf("the receive ended with %d", status)
	}
	eventually(t, func() bool {
		status, _, _ := s.ask("GET", "/v1/connections", "")
		return status == 200 && s.want(200, "GET", "/v1/connections", "") == "[]\n"
	})

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

func TestShutdown(t *testing.T) {
	s := serve(t, nil)
	if status, _, text := s.do(s.local, "http://sallyport", "POST", "/v1/shutdown", ""); status != 202 {
		t.Fatalf("%d %s", status, text)
	}
	<-s.ended
}

// Close ends clients that wait, and connections.
func TestClose(t *testing.T) {
	s := serve(t, nil)
	_, theirs := s.open("one")
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := s.local.Get("http://sallyport/v1/events")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	report(t, s.api.Close())
	<-done
	_ = theirs.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := theirs.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %v", err)
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
