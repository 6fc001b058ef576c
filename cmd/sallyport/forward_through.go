package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// through has the node in the background forward until ctx ends.
func (f *forwardCommand) through(ctx context.Context, up *control, peer address.Address, specs []forwardSpec) error {
	want := api.Forwarding{Target: peer.String(), TimeoutMS: patienceOf(&f.flags)}
	for _, s := range specs {
		want.Forwards = append(want.Forwards, s.wire())
	}
	stop, err := f.tellCall(ctx, up, &f.flags, peer)
	if err != nil {
		return err
	}
	stopped := false
	reached := func() {
		if !stopped {
			stopped = true
			stop()
		}
	}
	defer reached()
	t := &forwardTeller{app: f.app, peer: peer.Key}
	err = up.forward(ctx, want, func(e api.ForwardEvent) {
		reached()
		t.tell(e)
	})
	if ctx.Err() != nil {
		return daemonEnd(ctx)
	}
	return err
}

// forward has the node in the background forward until ctx ends, and hands on
// what happens. When it returns, nothing is forwarded any more, unless the node
// has not said so within controlAnswer.
func (c *control) forward(ctx context.Context, want api.Forwarding, each func(api.ForwardEvent)) error {
	// The request outlives ctx, so that its end can be waited for.
	request, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	var name atomic.Value
	stop := context.AfterFunc(ctx, func() {
		if name, known := name.Load().(string); known {
			ending, cancel := context.WithTimeout(request, controlAnswer)
			defer cancel()
			if c.ask(ending, http.MethodDelete, "/v1/forwards/"+name, nil, nil) == nil {
				return
			}
		}
		hangUp()
	})
	defer stop()
	body, err := json.Marshal(want)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(request, http.MethodPost, "http://sallyport/v1/forwards", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return failed(err, "try sallyport down, and sallyport up again", "the node in the background does not answer")
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	name.Store(resp.Header.Get(api.ForwardHeader))
	for lines := json.NewDecoder(resp.Body); ; {
		var e api.ForwardEvent
		if err := lines.Decode(&e); err != nil {
			return failed(err, `try "sallyport up", and this again`, "the node in the background has ended")
		}
		if e.Event == "failed" {
			return ofProblem(api.Problem{Error: e.Error, Hint: e.Hint, Code: e.Code, Attempts: e.Attempts})
		}
		each(e)
	}
}

// forwardBy is how a node forwards for clients of its API.
func (u *up) forwardBy(nd *node.Node) func(context.Context, address.Address, api.Forwarding, func(api.ForwardEvent)) error {
	return func(ctx context.Context, peer address.Address, want api.Forwarding, tell func(api.ForwardEvent)) error {
		var specs []forwardSpec
		for _, w := range want.Forwards {
			s, err := specOf(w)
			if err != nil {
				return misused("GET /openapi.json describes a forward", "%v", err)
			}
			specs = append(specs, s)
		}
		return newForwarder(tell, u.explainCall).run(ctx, specs, func(ctx context.Context) (reached, error) {
			if want.TimeoutMS > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(want.TimeoutMS)*time.Millisecond)
				defer cancel()
			}
			conn, err := nd.Ping(ctx, peer)
			if err != nil {
				return reached{}, u.explainCall(nd, err)
			}
			return reached{nd, peer, conn, func() {}}, nil
		})
	}
}
