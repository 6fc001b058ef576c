package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-net/sallyport/node/api"
)

// How long the node in the background may take to be reached, and to say how it
// is.
const (
	controlDial   = time.Second
	controlAnswer = 5 * time.Second
)

// upFiles are where the node in the background keeps its things.
type upFiles struct {
	socket string // of the API
	lock   string // held while it runs; has its process id
	log    string
	token  string // for the API over TCP
}

func upPaths() (upFiles, error) {
	state, err := stateDir()
	if err != nil {
		return upFiles{}, failed(err, "try it with HOME set", "there is no home directory for a node in the background")
	}
	config, err := configDir()
	if err != nil {
		return upFiles{}, failed(err, "try it with HOME set", "there is no home directory for a node in the background")
	}
	return upFiles{
		socket: filepath.Join(state, "node.sock"), lock: filepath.Join(state, "node.lock"),
		log: filepath.Join(state, "node.log"), token: filepath.Join(config, "api-token"),
	}, nil
}

// control speaks with the node in the background.
type control struct {
	files upFiles
	http  *http.Client
}

func newControl(files upFiles) *control {
	c := &control{files: files}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true}}
	return c
}

func (c *control) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: controlDial}
	return d.DialContext(ctx, "unix", c.files.socket)
}

// background gives the node in the background: nil where none answers, and where
// the flags want one of their own.
func (a *app) background(f *nodeFlags) *control {
	files, err := upPaths()
	if err != nil || f.ownNode {
		return nil
	}
	if _, err := os.Lstat(files.socket); err != nil {
		return nil
	}
	c := newControl(files)
	conn, err := c.dial(context.Background(), "", "")
	if err != nil {
		return nil // its socket was left behind
	}
	_ = conn.Close()
	return c
}

// ask makes a request, and decodes the answer into into, unless that is nil.
func (c *control) ask(ctx context.Context, method, path string, body, into any) error {
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
		return refusal(resp)
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
func refusal(resp *http.Response) error {
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
	return ofProblem(p)
}

// status asks the node how it is.
func (c *control) status(ctx context.Context) (st api.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlAnswer)
	defer cancel()
	if err = c.ask(ctx, http.MethodGet, "/v1/status", nil, &st); errors.Is(err, context.DeadlineExceeded) {
		err = failed(err, `try "sallyport down", and "sallyport up" again`, "the node in the background does not answer")
	}
	return st, err
}

// link makes a link that opens the page once.
func (c *control) link(ctx context.Context) (string, error) {
	var t api.Ticket
	err := c.ask(ctx, http.MethodPost, "/v1/tickets", nil, &t)
	return t.URL, err
}

// codeOfStatus says in the API's words what exit statuses say.
var codeOfStatus = map[int]api.Code{
	statusMisused: api.Invalid, statusWrongCode: api.WrongCode, statusAbsent: api.Absent,
	statusNoNetwork: api.NoNetwork, statusRefused: api.Refused,
}

// problemOf is a failure for clients of the API.
func problemOf(err error) api.Problem {
	f := explain(err)
	p := api.Problem{Error: f.what, Hint: f.hint, Code: api.Failed}
	if code, known := codeOfStatus[f.status]; known {
		p.Code = code
	}
	if e, ok := f.event.(failedEvent); ok {
		for _, t := range e.Attempts {
			p.Attempts = append(p.Attempts, api.Attempt(t))
		}
	}
	return p
}

// ofProblem is the way back.
func ofProblem(p api.Problem) error {
	f := &failure{status: statusFailed, what: p.Error, hint: p.Hint}
	for status, code := range codeOfStatus {
		if code == p.Code {
			f.status = status
		}
	}
	if len(p.Attempts) > 0 {
		e := failedEvent{Event: "failed", Hint: p.Hint, Status: f.status}
		for _, t := range p.Attempts {
			e.Attempts = append(e.Attempts, failedAttempt(t))
		}
		f.event = e
	}
	return f
}
