package main

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport-net/sallyport/node/tunnel"
)

// passage is one forwarded connection.
type passage struct {
	number int
	kind   forwardKind
	from   string
	to     tunnel.Place // zero where it is not known, or is the peer's choice
	begun  time.Time
	traffic
}

func (p *passage) where() string {
	if (p.to == tunnel.Place{}) {
		return ""
	}
	return p.to.String()
}

func (f *forwarder) tellOpened(p *passage) {
	switch {
	case f.json:
		emit(f.err, openedEvent{"opened", p.number, string(p.kind), p.from, p.where()})
	case f.verbose:
		f.say("Connection %d from %s.", p.number, p.from)
	}
}

type openedEvent struct {
	Event  string `json:"event"`
	Number int    `json:"number"`
	Kind   string `json:"kind"`
	From   string `json:"from"`
	To     string `json:"to,omitempty"`
}

// tellClosed says why a connection failed; that it has ended well, only those
// hear who want to know all.
func (f *forwarder) tellClosed(ctx context.Context, p *passage) {
	e := closedEvent{Event: "closed", Number: p.number, To: p.where(), MS: milliseconds(time.Since(p.begun)), Received: p.received, Sent: p.sent}
	var no *tunnel.RefusedError
	var hint string
	if p.err != nil && ctx.Err() == nil {
		e.Error = passageError(p.err)
		if errors.As(p.err, &no) {
			e.Refused, hint = true, no.Hint()
		}
		if errors.Is(p.err, errNotServed) {
			hint = "ask the peer to start its node with --allow-forward " + p.where()
		}
	}
	switch {
	case f.json:
		emit(f.err, e)
	case hint != "":
		f.say("A connection from %s was reset: %s (%s).", p.from, e.Error, hint)
	case e.Error != "":
		f.say("A connection from %s has ended: %s.", p.from, e.Error)
	case f.verbose:
		f.say("Connection %d has ended: %s came, %s went.", p.number, megabytes(p.received), megabytes(p.sent))
	}
}

// passageError says what has ended a connection, in words.
func passageError(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the peer does not answer"
	}
	return plainly(err)
}

type closedEvent struct {
	Event    string  `json:"event"`
	Number   int     `json:"number"`
	To       string  `json:"to,omitempty"`
	MS       float64 `json:"ms"`
	Received int64   `json:"received"`
	Sent     int64   `json:"sent"`
	Refused  bool    `json:"refused,omitempty"` // by the peer, for the destination's sake
	Error    string  `json:"error,omitempty"`
}
