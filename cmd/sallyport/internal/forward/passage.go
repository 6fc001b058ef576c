package forward

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/tunnel"
)

// passage is one forwarded connection.
type passage struct {
	number int
	kind   Kind
	from   string
	to     tunnel.Place // zero where it is not known, or is the peer's choice
	begun  time.Time
	pipe.Traffic
}

func (p *passage) where() string {
	if (p.to == tunnel.Place{}) {
		return ""
	}
	return p.to.String()
}

func (f *forwarder) tellOpened(p *passage) {
	f.Tell(api.ForwardEvent{Event: "opened", Number: p.number, Kind: string(p.kind), From: p.from, To: p.where()})
}

// updateThere is what helps with errTooOld.
const updateThere = "update Sallyport at the peer"

// tellClosed says why a connection has ended, where that is not ctx's end.
func (f *forwarder) tellClosed(ctx context.Context, p *passage) {
	e := api.ForwardEvent{
		Event: "closed", Number: p.number, Kind: string(p.kind), From: p.from, To: p.where(),
		MS: milliseconds(time.Since(p.begun)), Received: p.Received, Sent: p.Sent,
	}
	var no *tunnel.RefusedError
	if p.Err != nil && ctx.Err() == nil {
		e.Error = passageError(p.Err)
		switch err := noReply(p.Err); {
		case errors.As(err, &no):
			e.Refused, e.Hint = true, no.Hint()
		case errors.Is(err, errNotServed):
			e.Hint = "ask the peer to start its node with --allow-forward " + p.where()
		case errors.Is(err, errTooOld):
			e.Hint = updateThere
		}
	}
	f.Tell(e)
}

// passageError says what has ended a connection, in words.
func passageError(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return errSilent.Error()
	}
	return pipe.Plainly(noReply(err))
}
