package api_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/api"
)

func TestWhy(t *testing.T) {
	asked, goOn := make(chan address.Key, 10), make(chan struct{})
	s := serve(t, func(c *api.Config) {
		c.Why = func(_ context.Context, peer address.Address) (api.Diagnosis, error) {
			asked <- peer.Key
			<-goOn
			return api.Diagnosis{Event: "why", Possible: true, Steps: []api.WhyStep{}, Timeline: []api.WhyMoment{}}, nil
		}
	})
	body := fmt.Sprintf(`{"target":%q}`, s.peer.ID())
	done := make(chan string, 4)
	for range 4 {
		go func() { _, _, text := s.ask("POST", "/v1/why", body); done <- text }()
	}
	for range 4 {
		if peer := <-asked; peer != s.peer.ID() {
			t.Errorf("asked about %s", peer)
		}
	}
	s.want(429, "POST", "/v1/why", body)
	close(goOn)
	for range 4 {
		if d := decode[api.Diagnosis](t, <-done); !d.Possible || d.Target != s.peer.ID().String() {
			t.Errorf("%+v", d)
		}
	}
	s.want(400, "POST", "/v1/why", `{"target":"nonsense"}`)
	s.want(400, "POST", "/v1/why", `{"target":""}`)
}

func TestProbe(t *testing.T) {
	s := serve(t, nil)
	first := decode[api.Probed](t, s.want(200, "POST", "/v1/interfaces/probe", ""))
	if !first.Fresh || len(first.Interfaces) == 0 || !first.Interfaces[0].Uplink || first.At.IsZero() {
		t.Errorf("%+v", first)
	}
	second := decode[api.Probed](t, s.want(200, "POST", "/v1/interfaces/probe", ""))
	for n := 0; n < 5 && second.Fresh; n++ { // a busy machine may not ask again in time
		first, second = second, decode[api.Probed](t, s.want(200, "POST", "/v1/interfaces/probe", ""))
	}
	if second.Fresh || !second.At.Equal(first.At) {
		t.Errorf("the second look is another: %+v", second)
	}
}
