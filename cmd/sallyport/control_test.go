package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/node/api"
)

// What a node in the background says no with becomes the failure that a node of
// one's own would have had; one that does not know the question is too old.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		problem api.Problem
		status  int
		what    string
	}{
		{api.Problem{Error: "the peer refuses this node", Code: api.Refused}, statusRefused, "the peer refuses this node"},
		{api.Problem{Error: "x does not answer", Code: api.Absent}, statusAbsent, "x does not answer"},
		{api.Problem{Error: api.NoRoute, Code: api.NotFound}, statusFailed, "the node in the background is of an older version, which can't do this"},
		{api.Problem{}, statusFailed, "the node in the background answers 404 Not Found"},
	} {
		text, err := json.Marshal(c.problem)
		if err != nil {
			t.Fatal(err)
		}
		f := explain(refusal(&http.Response{Status: "404 Not Found", StatusCode: 404, Body: io.NopCloser(bytes.NewReader(text))}))
		if f.status != c.status || f.what != c.what {
			t.Errorf("%+v is %d, %q", c.problem, f.status, f.what)
		}
		if old := c.problem.Error == api.NoRoute; old != strings.Contains(f.hint, "sallyport up") {
			t.Errorf("%+v: hint %q", c.problem, f.hint)
		}
	}
}
