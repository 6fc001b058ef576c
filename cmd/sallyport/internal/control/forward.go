package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/sallyport-net/sallyport/node/api"
)

// Forward has the node in the background forward until ctx ends, and hands on
// what happens. When it returns, nothing is forwarded any more, unless the node
// has not said so within AnswerTime.
func (c *Client) Forward(ctx context.Context, want api.Forwarding, each func(api.ForwardEvent)) error {
	// The request outlives ctx, so that its end can be waited for.
	request, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	var name atomic.Value
	stop := context.AfterFunc(ctx, func() {
		if name, known := name.Load().(string); known {
			ending, cancel := context.WithTimeout(request, AnswerTime)
			defer cancel()
			if c.Ask(ending, http.MethodDelete, "/v1/forwards/"+name, nil, nil) == nil {
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
		return c.refusal(resp)
	}
	name.Store(resp.Header.Get(api.ForwardHeader))
	for lines := json.NewDecoder(resp.Body); ; {
		var e api.ForwardEvent
		if err := lines.Decode(&e); err != nil {
			return failed(err, `try "sallyport up", and this again`, "the node in the background has ended")
		}
		if e.Event == "failed" {
			return c.explain(api.Problem{Error: e.Error, Hint: e.Hint, Code: e.Code, Attempts: e.Attempts})
		}
		each(e)
	}
}
