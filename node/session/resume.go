package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

const (
	requestSize = 16 + 1 + 8 + 8 + sha256.Size
	answerSize  = 1 + 8 + sha256.Size
	// resumeTimeout bounds each end's wait in a resumption.
	resumeTimeout = 5 * time.Second
	// handoverTime bounds how long a write to the old link may hold up the new
	// one.
	handoverTime = 500 * time.Millisecond
)

type status byte

const (
	resumed status = 0
	unknown status = 1
	stale   status = 2
	moved   status = 3 // resumed, and the old link is alive
)

// mode is what a request says of the old link.
type mode = status

const (
	lost  mode = 0
	alive mode = 1
)

// ErrStale: the acceptor has seen a later link already. Another resumption,
// over another link, may work.
var ErrStale = errors.New("the peer has seen a later link of the session")

// proof shows that a role's end knows the session's key, on the link from which
// binding was exported.
func proof(key [sha256.Size]byte, role string, binding []byte, id ID, epoch uint64, st status, have uint64) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(role))
	m.Write(binding)
	m.Write(id[:])
	m.Write(uint64Bytes(epoch))
	m.Write([]byte{byte(st)})
	m.Write(uint64Bytes(have))
	return m.Sum(nil)
}

func binding(l *link.Conn) ([]byte, error) {
	return l.Export("EXPORTER-sallyport-session-binding", nil, sha256.Size)
}

// Resume goes on over a link that was nominated for it; path describes it. It
// takes the link over. When the peer does not know the session, the session
// ends, with ErrGone. ErrStale leaves it as it is, and so does the failure of
// the link.
func (s *Session) Resume(ctx context.Context, l *link.Conn, path any) error {
	stop := context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Unix(1, 0)) })
	st, have, err := s.ask(l)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch st {
		case resumed, moved:
			if err = s.attach(l, path, have, st == moved); err == nil {
				return nil
			}
		case unknown:
			s.end(ErrGone)
			err = ErrGone
		case stale:
			err = ErrStale
		}
	}
	_ = l.NetConn().Close()
	return fmt.Errorf("resuming a session: %w", err)
}

// ask sends the request, and gives what the peer answers.
func (s *Session) ask(l *link.Conn) (st status, have uint64, err error) {
	bound, err := binding(l)
	if err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	s.epoch++
	epoch, mine, old := s.epoch, s.received, s.mode()
	s.mu.Unlock()
	_ = l.SetDeadline(time.Now().Add(resumeTimeout))
	request := append(append(append(s.id[:], byte(old)), uint64Bytes(epoch)...), uint64Bytes(mine)...)
	if _, err := l.Write(append(request, proof(s.key, "opener", bound, s.id, epoch, old, mine)...)); err != nil {
		return 0, 0, err
	}
	answer := make([]byte, answerSize)
	if _, err := io.ReadFull(l, answer); err != nil {
		return 0, 0, err
	}
	st, have = status(answer[0]), binary.BigEndian.Uint64(answer[1:])
	switch st {
	case unknown:
		return st, 0, nil
	case resumed, stale, moved:
		if !hmac.Equal(answer[9:], proof(s.key, "acceptor", bound, s.id, epoch, st, have)) {
			return 0, 0, errors.New("the peer does not prove that it knows the session")
		}
		return st, have, l.SetDeadline(time.Time{})
	}
	return 0, 0, fmt.Errorf("the peer answers %d", answer[0])
}

// mode says whether the link in use is alive.
func (s *Session) mode() mode {
	if s.alive() {
		return alive
	}
	return lost
}

// attach has the session go on over a link: the peer has so many of our frames.
// Where the old link is alive at both ends, the new one takes over as soon as
// the write under way is done.
func (s *Session) attach(l *link.Conn, path any, have uint64, gently bool) error {
	if s.ended != nil {
		return s.ended
	}
	if !s.out.acknowledge(have) {
		s.dud++
		return fmt.Errorf("%w: it has %d frames of %d", errProtocol, have, s.out.sent)
	}
	c := &carrier{link: l, path: path}
	c.touch()
	s.carriers[c] = true
	if s.next != nil {
		_ = s.next.link.NetConn().Close()
		s.next = nil
	}
	old := s.carrier
	if gently && s.alive() {
		s.next = c
		s.wake.Signal()
		time.AfterFunc(handoverTime, func() { hurry(s, old, c) })
	} else {
		if old != nil {
			// A write that hangs there would hold the new link up. What comes on
			// it still counts.
			_ = old.link.SetWriteDeadline(time.Unix(1, 0))
		}
		s.adopt(c, false)
	}
	go s.read(c)
	return nil
}

// hurry gives up a write to the old link that keeps the new one waiting.
func hurry(s *Session, old, c *carrier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == c {
		_ = old.link.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Request is a peer's wish to resume a session.
type Request struct {
	ID    ID
	mode  mode
	link  *link.Conn
	epoch uint64
	have  uint64
	proof []byte
}

// ReadRequest reads the request from a link that was nominated for a
// resumption, and admitted. On error the link is closed.
func ReadRequest(l *link.Conn) (Request, error) {
	_ = l.SetDeadline(time.Now().Add(resumeTimeout))
	b := make([]byte, requestSize)
	if _, err := io.ReadFull(l, b); err != nil {
		_ = l.NetConn().Close()
		return Request{}, fmt.Errorf("reading a resumption: %w", err)
	}
	return Request{ID(b[:16]), mode(b[16]), l, binary.BigEndian.Uint64(b[17:]), binary.BigEndian.Uint64(b[25:]), b[33:]}, nil
}

// Unknown answers a request for a session that is not there.
func (r Request) Unknown() {
	answer := make([]byte, answerSize)
	answer[0] = byte(unknown)
	_, _ = r.link.Write(answer)
	_ = r.link.Close()
}

// Answer checks a peer's request and, if it is good, goes on over its link,
// which path describes. What is forged, replayed or another peer's is answered
// as if the session were unknown, and counted.
func (s *Session) Answer(r Request, path any) error {
	bound, err := binding(r.link)
	if err != nil {
		_ = r.link.NetConn().Close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Opener || r.link.Peer() != s.peer || s.ended != nil ||
		!hmac.Equal(r.proof, proof(s.key, "opener", bound, s.id, r.epoch, r.mode, r.have)) {
		s.dud++
		go r.Unknown()
		return fmt.Errorf("%w: a resumption that is not proven", errProtocol)
	}
	st := resumed
	switch {
	case r.epoch <= s.epoch:
		st = stale
	case r.mode == alive && s.alive():
		st = moved
	}
	answer := append([]byte{byte(st)}, uint64Bytes(s.received)...)
	// Small and the first after a handshake: it fits into any send buffer.
	if _, err := r.link.Write(append(answer, proof(s.key, "acceptor", bound, s.id, r.epoch, st, s.received)...)); err != nil {
		_ = r.link.NetConn().Close()
		return err
	}
	if st == stale {
		_ = r.link.NetConn().Close()
		return ErrStale
	}
	_ = r.link.SetDeadline(time.Time{})
	s.epoch = r.epoch
	if err := s.attach(r.link, path, r.have, st == moved); err != nil {
		_ = r.link.NetConn().Close()
		return err
	}
	return nil
}
