package api_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/nodetest"
	"github.com/sallyport-net/sallyport/signaling"
)

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
	stern := nodetest.Start(t, cfg)
	nodetest.Accept(t, stern)
	status, _, text := s.ask("POST", "/v1/connections", fmt.Sprintf(`{"target":%q}`, stern.Address()))
	if p := decode[api.Problem](t, text); status != 502 || p.Code != api.Refused || p.Hint == "" {
		t.Errorf("%d %+v", status, p)
	}
}
