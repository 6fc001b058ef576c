package session

import (
	"errors"
	"math"

	"github.com/sallyport-net/sallyport/node/link"
)

// Codes of OPEN: what a stream is for.
const (
	codeApplication = 0
	codeEcho        = 1
	codeTunnel      = 3
)

// kinds are the codes of OPEN that this version knows, as bits: the code of
// ACCEPT. Versions that know 0 and 1 only send 0, and end a session over any
// other, so that they must not be asked.
const kinds = 1<<codeApplication | 1<<codeEcho | 1<<codeTunnel

var (
	// ErrNotServed: the peer's node takes no streams of that kind.
	ErrNotServed = errors.New("the peer's node does not serve streams of that kind")
	// ErrTooOld: the peer's version knows no streams of that kind.
	ErrTooOld = errors.New("the peer's version is too old for streams of that kind")
	// ErrUntold: the peer has taken no stream yet, and so has not told which
	// kinds it knows.
	ErrUntold = errors.New("the peer has not told which kinds of streams it knows")
)

// OpenTunnel is Open for a stream that begins with a request of node/tunnel, and
// never reaches those who take the others. It gives ErrTooOld or ErrUntold, too:
// a Verdict of any other stream has the peer tell.
func (s *Session) OpenTunnel() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.theirKinds == 0:
		return nil, ErrUntold
	case s.theirKinds&(1<<codeTunnel) == 0:
		return nil, ErrTooOld
	}
	return s.open(codeTunnel)
}

// open opens a stream; the mutex is held.
func (s *Session) open(code byte) (*Stream, error) {
	if s.closing || s.finished || !s.alive() || s.nextID > math.MaxUint32-2 {
		return nil, ErrEnding
	}
	t := s.newStream(s.nextID, code, false)
	s.nextID += 2
	s.control(frameOpen, code, t.id)
	return t, nil
}

// Echo reports whether the peer asked for every byte to be sent back.
func (t *Stream) Echo() bool { return t.code == codeEcho }

// Tunnel reports whether the stream is for a tunnel: see OpenTunnel.
func (t *Stream) Tunnel() bool { return t.code == codeTunnel }

// knows notes which kinds the peer knows, from the code of an ACCEPT.
func (s *Session) knows(code byte) { s.theirKinds = code | 1<<codeApplication | 1<<codeEcho }

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
