package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/api"
)

// listen reads the events of a stream until one is called last, and gives all
// of them, and their numbers.
func (s *served) listen(query, last string) (events []api.Event, numbers []int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "http://sallyport/v1/events"+query, nil)
	resp, err := s.local.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		s.t.Fatalf("%d %s", resp.StatusCode, got)
	}
	lines := bufio.NewScanner(resp.Body)
	number := 0
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			number, _ = strconv.Atoi(id)
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		e := decode[api.Event](s.t, data)
		events, numbers = append(events, e), append(numbers, number)
		if e.Event == last {
			return events, numbers
		}
	}
	s.t.Fatalf("the stream ends without %q: %v; %+v", last, lines.Err(), events)
	return nil, nil
}

func TestEvents(t *testing.T) {
	s := serve(t, nil)
	s.open("one")
	s.want(204, "DELETE", "/v1/connections/one", "")
	all, numbers := s.listen("?after=0", "ended")
	var names []string
	for k, e := range all {
		if len(names) == 0 || names[len(names)-1] != e.Event {
			names = append(names, e.Event)
		}
		if numbers[k] != k+1 || e.At.IsZero() {
			t.Errorf("number %d at %v is the %dth", numbers[k], e.At, k+1)
		}
	}
	text := strings.Join(names, " ")
	for _, want := range []string{"started ", " call step ", " connected ", " opened ", " ended"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
	// Later ones begin where they say.
	rest, from := s.listen("?after="+strconv.Itoa(len(all)-1), "ended")
	if len(rest) != 1 || from[0] != len(all) {
		t.Errorf("%+v from %v", rest, from)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	s := serve(t, nil)
	for k := range 129 {
		resp, err := s.local.Get("http://sallyport/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if want := k < 128; (resp.StatusCode == 200) != want {
			var p api.Problem
			_ = json.NewDecoder(resp.Body).Decode(&p)
			t.Errorf("stream %d: %d %+v", k+1, resp.StatusCode, p)
		}
	}
}
