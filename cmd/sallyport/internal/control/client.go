// Package control speaks with the node in the background over its socket: it asks the
// API, hears its events, joins the connections that the node holds, so that one is used
// like one of a node of one's own, and has it forward.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sallyport-net/sallyport/node/api"
)

const (
	// dialTime is how long the node in the background may take to be reached.
	dialTime = time.Second
	// AnswerTime is how long it may take to say how it is, or to end something.
	AnswerTime = 5 * time.Second
)

// Client speaks with the node in the background. It holds nothing open between its
// calls.
type Client struct {
	socket  string
	explain func(api.Problem) error
	http    *http.Client
}

// New gives a client for the socket at a path. explain makes an error of what the node
// says no with.
func New(socket string, explain func(api.Problem) error) *Client {
	c := &Client{socket: socket, explain: explain}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true}}
	return c
}

// Error says why the node in the background could not be spoken with.
type Error struct {
	what  string
	hint  string
	cause error
}

func (e *Error) Error() string { return e.what }

// Hint is one thing to try; it may be empty.
func (e *Error) Hint() string { return e.hint }

func (e *Error) Unwrap() error { return e.cause }

func failed(cause error, hint, format string, args ...any) error {
	return &Error{what: fmt.Sprintf(format, args...), hint: hint, cause: cause}
}

// Answers reports whether anybody listens on the socket: one may have been left behind.
func (c *Client) Answers() bool {
	conn, err := c.dial(context.Background(), "", "")
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTime}
	return d.DialContext(ctx, "unix", c.socket)
}

// Ask makes a request, and decodes the answer into into, unless that is nil. Where the
// node does not answer, the error is an *Error.
func (c *Client) Ask(ctx context.Context, method, path string, body, into any) error {
	var b io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		b = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://sallyport"+path, b)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return failed(err, `try "sallyport down", and "sallyport up" again`, "the node in the background does not answer")
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return c.refusal(resp)
	}
	if into == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return failed(err, `try "sallyport status"`, "the node in the background has gone away")
	}
	return json.Unmarshal(text, into)
}

// refusal is what an answer says that is a no.
func (c *Client) refusal(resp *http.Response) error {
	var p api.Problem
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return failed(err, `try "sallyport status"`, "the node in the background has gone away")
	}
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		p = api.Problem{Error: fmt.Sprintf("the node in the background answers %s", resp.Status), Code: api.Failed}
	}
	if p.Error == api.NoRoute {
		return failed(nil, `try "sallyport down", and "sallyport up" again`, "the node in the background is of an older version, which can't do this")
	}
	return c.explain(p)
}

// Status asks the node how it is.
func (c *Client) Status(ctx context.Context) (st api.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, AnswerTime)
	defer cancel()
	if err = c.Ask(ctx, http.MethodGet, "/v1/status", nil, &st); errors.Is(err, context.DeadlineExceeded) {
		err = failed(err, `try "sallyport down", and "sallyport up" again`, "the node in the background does not answer")
	}
	return st, err
}

// Link makes a link that opens the page once.
func (c *Client) Link(ctx context.Context) (string, error) {
	var t api.Ticket
	err := c.Ask(ctx, http.MethodPost, "/v1/tickets", nil, &t)
	return t.URL, err
}
