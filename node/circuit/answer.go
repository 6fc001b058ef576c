package circuit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

// Status is the answer to a request.
type Status byte

const (
	Joined      Status = 0
	Refused     Status = 1
	Busy        Status = 2
	Absent      Status = 3
	Unsupported Status = 4
)

// patience bounds how long one end waits for the other's request.
const patience = 5 * time.Second

// Error is an answer that is a no.
type Error struct{ Status Status }

func (e *Error) Error() string {
	switch e.Status {
	case Refused:
		return "it does not relay for this node"
	case Busy:
		return "its circuits are used up"
	case Absent:
		return "it cannot lead to the peer"
	case Unsupported:
		return "it does not know this kind of request"
	}
	return fmt.Sprintf("it answers %d", byte(e.Status))
}

// Hint is the one change that would help.
func (e *Error) Hint() string {
	switch e.Status {
	case Refused:
		return "name this node, or the peer, with --relay-for where the relaying node runs"
	case Busy:
		return "try again in a moment, or name another node with --relay"
	case Absent:
		return "have the peer name that node with --relay, too, or name this node by its id with --relay-for where that one runs"
	}
	return "run the same version there as here"
}

// errNotTaken is for a stream that the other end does not take.
var errNotTaken = &Error{Refused}

// Ask puts a request to the other end of a stream, and waits for its yes until
// ctx ends. A no is an *Error. The stream stays the caller's.
func Ask(ctx context.Context, stream net.Conn, r Request) error {
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })
	_, err := stream.Write(r.Append(nil))
	var b [2]byte
	if err == nil {
		_, err = io.ReadFull(stream, b[:])
	}
	if !stop() {
		return context.Cause(ctx)
	}
	switch {
	case errors.Is(err, link.ErrRefused):
		return errNotTaken
	case errors.Is(err, link.ErrBusy):
		return &Error{Busy}
	case err != nil:
		return err
	case b[0] != version:
		return &Error{Unsupported}
	case Status(b[1]) != Joined:
		return &Error{Status(b[1])}
	}
	return nil
}

// Next reads the request with which a stream begins. Where none comes, or
// another one than this version knows, the other end is told as far as it can be.
func Next(stream net.Conn) (Request, error) {
	_ = stream.SetReadDeadline(time.Now().Add(patience))
	r, err := ReadRequest(stream)
	_ = stream.SetReadDeadline(time.Time{})
	if errors.Is(err, errUnsupported) || errors.Is(err, errMalformed) {
		_ = Answer(stream, Unsupported)
	}
	return r, err
}

// Answer answers a request.
func Answer(stream net.Conn, s Status) error {
	_ = stream.SetWriteDeadline(time.Now().Add(patience))
	_, err := stream.Write([]byte{version, byte(s)})
	_ = stream.SetWriteDeadline(time.Time{})
	return err
}
