package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/node/api"
)

// What a node in the background says no with becomes the failure that a node of
// one's own would have had; one that does not know the question is too old.
func TestRefusal(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skipf("no Unix sockets: %v", err)
	}
	var says api.Problem
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(says)
	}))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	c := newControl(upFiles{socket: socket})
	for _, one := range []struct {
		problem api.Problem
		status  int
		what    string
	}{
		{api.Problem{Error: "the peer refuses this node", Code: api.Refused}, statusRefused, "the peer refuses this node"},
		{api.Problem{Error: "x does not answer", Code: api.Absent}, statusAbsent, "x does not answer"},
		{api.Problem{Error: api.NoRoute, Code: api.NotFound}, statusFailed, "the node in the background is of an older version, which can't do this"},
		{api.Problem{}, statusFailed, "the node in the background answers 404 Not Found"},
	} {
		says = one.problem
		f := explain(c.Ask(t.Context(), http.MethodGet, "/v1/status", nil, nil))
		if f.status != one.status || f.what != one.what {
			t.Errorf("%+v is %d, %q", one.problem, f.status, f.what)
		}
		if old := one.problem.Error == api.NoRoute; old != strings.Contains(f.hint, "sallyport up") {
			t.Errorf("%+v: hint %q", one.problem, f.hint)
		}
	}
	server.Close()
	if f := explain(c.Ask(t.Context(), http.MethodGet, "/v1/status", nil, nil)); f.what != "the node in the background does not answer" || f.hint == "" || f.cause == nil || c.Answers() {
		t.Errorf("one that is gone is %+v", f)
	}
}
