package session

import (
	"errors"

	"github.com/sallyport-net/sallyport/node/link"
)

// Kind is what a stream is for: the code of its OPEN.
type Kind byte

const (
	Application Kind = 0 // for the application
	Echo        Kind = 1 // every byte is sent back, without the application seeing it
	Circuit     Kind = 2 // it leads on to another node, or comes from one (node/circuit)
	Tunnel      Kind = 3 // it begins with a request of node/tunnel
)

// Tunnel reports whether the stream is one.
func (t *Stream) Tunnel() bool { return t.kind == Tunnel }

// kinds is a set of them, as ACCEPT has it in its code: 1 << kind each.
type kinds byte

const (
	known = ancient | 1<<Circuit | 1<<Tunnel
	// ancient are those that every version knows. Versions that know no others
	// have nothing in their ACCEPT, and end a session over another kind, so that
	// they must not be asked.
	ancient = kinds(1<<Application | 1<<Echo)
)

func (k kinds) have(kind Kind) bool { return kind < 8 && k&(1<<kind) != 0 }

var (
	// ErrNotServed: the peer's node takes no streams of that kind.
	ErrNotServed = errors.New("the peer's node does not serve streams of that kind")
	// ErrTooOld: the peer's version knows no streams of that kind.
	ErrTooOld = errors.New("the peer's version is too old for streams of that kind")
	// ErrUntold: the peer has taken no stream yet, and so has not told which
	// kinds it knows. The Verdict of any other stream has it tell.
	ErrUntold = errors.New("the peer has not told which kinds of streams it knows")
)

// mayAsk says why a tunnel can't be opened; the mutex is held.
func (s *Session) mayAsk(kind Kind) error {
	switch {
	case kind != Tunnel || s.kinds.have(kind):
		return nil
	case s.kinds == 0:
		return ErrUntold
	}
	return ErrTooOld
}

// Codes of RESET.
const (
	codeReset     = 0
	codeRefused   = 1
	codeBusy      = 2
	codeNotServed = 3
)

// resetCode says in a RESET why a stream was not taken.
func resetCode(why error) byte {
	switch {
	case errors.Is(why, link.ErrBusy):
		return codeBusy
	case errors.Is(why, ErrNotServed):
		return codeNotServed
	}
	return codeRefused
}

// resetError is the way back.
func resetError(code byte) error {
	switch code {
	case codeRefused:
		return link.ErrRefused
	case codeBusy:
		return link.ErrBusy
	case codeNotServed:
		return ErrNotServed
	}
	return ErrReset
}
