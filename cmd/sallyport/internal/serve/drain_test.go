package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/relay"
)

func httpStatus(t *testing.T, s *Server, path string) int {
	t.Helper()
	resp, err := http.Get("http://" + s.monitor.at.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// allocate keeps the relay busy until the test ends, or the allocation is closed.
func allocate(t *testing.T, s *Server) *relay.Allocation {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := relay.Allocate(ctx, turn(t, s), relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func turn(t *testing.T, s *Server) relay.Place {
	t.Helper()
	place, err := relay.ParseURL(s.Places().TURN)
	if err != nil {
		t.Fatal(err)
	}
	return place
}

// While it drains, what is relayed goes on, nobody new gets in anywhere, and
// the load balancer is told. It is over as soon as nothing is relayed.
func TestDrain(t *testing.T) {
	s := start(t)
	a := allocate(t, s)
	if got := httpStatus(t, s, "/readyz"); got != 200 {
		t.Errorf("ready: status %d", got)
	}
	drained := make(chan struct{})
	go func() { s.Drain(context.Background()); close(drained) }()
	end := time.Now().Add(patience)
	for httpStatus(t, s, "/readyz") != http.StatusServiceUnavailable {
		if time.Now().After(end) {
			t.Fatal("still ready")
		}
	}
	if got := httpStatus(t, s, "/healthz"); got != 200 {
		t.Errorf("healthy: status %d", got)
	}
	for _, at := range []string{strings.TrimPrefix(s.Places().Brokers[0], "tcp://"), s.Places().STUN[0], s.Places().STUN[1], turn(t, s).Host} {
		for {
			c, err := net.Dial("tcp", at)
			if err != nil {
				break
			}
			c.Close()
			if time.Now().After(end) {
				t.Fatalf("%s takes new connections", at)
			}
		}
	}
	select {
	case <-drained:
		t.Fatal("it did not wait for the allocation")
	default:
	}
	_ = a.Close()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Fatal("it waits for nothing")
	}
}

func TestDrainIsBounded(t *testing.T) {
	s := start(t)
	allocate(t, s)
	begin := time.Now()
	most, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	drained := make(chan struct{})
	go func() { s.Drain(most); close(drained) }()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Fatal("it waits for an allocation that does not end")
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("took %v", took)
	}
}
