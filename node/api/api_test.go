package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "correct-horse"

// served is a node with its API on both listeners, and a peer that it can call.
type served struct {
	t      *testing.T
	api    *api.Server
	node   *node.Node
	peer   *node.Node
	theirs <-chan net.Conn // what the peer accepts
	host   string          // of the TCP listener
	sock   string
	local  *http.Client // on the Unix socket
	ended  chan struct{}
}

func serve(t *testing.T, change func(*api.Config)) *served {
	t.Helper()
	cfg := nodetest.Config(t)
	s := &served{t: t, ended: make(chan struct{})}
	s.node, s.peer = nodetest.Start(t, cfg), nodetest.Start(t, cfg)
	s.theirs = nodetest.Accept(t, s.peer)
	mine := nodetest.Accept(t, s.node)
	c := api.Config{Node: s.node, Token: token, Version: api.Version{Version: "v0", Go: "go1", System: "test"},
		Shutdown: sync.OnceFunc(func() { close(s.ended) })}
	if change != nil {
		change(&c)
	}
	var err error
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
			s.api.Take(c.(*node.Conn))
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

// ask makes a request over TCP with the token, and gives status, headers and body.
func (s *served) ask(method, path, body string) (int, http.Header, string) {
	s.t.Helper()
	return s.do(http.DefaultClient, "http://"+s.host, method, path, body, "Authorization", "Bearer "+token)
}

// do makes a request; headers are names and values in turn.
func (s *served) do(client *http.Client, base, method, path, body string, headers ...string) (int, http.Header, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
		return c, theirs.(*node.Conn)
	case <-time.After(time.Minute):
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

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
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
	_ = theirs.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := theirs.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %v", err)
	}
}
