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

// errNotProven: whoever asks does not show that it was there.
var errNotProven = fmt.Errorf("%w: a resumption that is not proven", errProtocol)

// Resume goes on over a link that was nominated for it; path describes it. It
// takes the link over. When the peer does not know the session, the session
// ends, with ErrGone. ErrStale leaves it as it is, and so does the failure of
// the link.
func (s *Session) Resume(ctx context.Context, l *link.Conn, path any) error {
	if l.Peer() != s.peer {
		_ = l.NetConn().Close()
		return errors.New("resuming a session: the link is with another node")
	}
	_ = l.SetDeadline(time.Now().Add(resumeTimeout))
	stop := context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Unix(1, 0)) })
	st, epoch, have, err := s.ask(l)
	if !stop() {
		err = ctx.Err()
	}
	_ = l.SetDeadline(time.Time{})
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch st {
		case resumed, moved:
			if err = s.attach(l, path, epoch, have, st == moved); err == nil {
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

// ask sends the request, under the next epoch, and gives what the peer answers.
func (s *Session) ask(l *link.Conn) (st status, epoch, have uint64, err error) {
	bound, err := binding(l)
	if err != nil {
		return 0, 0, 0, err
	}
	s.mu.Lock()
	s.epoch++
	epoch = s.epoch
	mine, old := s.received, s.mode()
	s.mu.Unlock()
	request := append(append(append(s.id[:], byte(old)), uint64Bytes(epoch)...), uint64Bytes(mine)...)
	if _, err := l.Write(append(request, proof(s.key, "opener", bound, s.id, epoch, old, mine)...)); err != nil {
		return 0, 0, 0, err
	}
	answer := make([]byte, answerSize)
	if _, err := io.ReadFull(l, answer); err != nil {
		s.note(err)
		return 0, 0, 0, err
	}
	st, have = status(answer[0]), binary.BigEndian.Uint64(answer[1:])
	switch {
	case st == unknown:
		return st, epoch, 0, nil
	case st > moved:
		return 0, 0, 0, fmt.Errorf("the peer answers %d", answer[0])
	case !hmac.Equal(answer[9:], proof(s.key, "acceptor", bound, s.id, epoch, st, have)):
		s.mu.Lock()
		s.dud++
		s.mu.Unlock()
		return 0, 0, 0, errNotProven
	}
	return st, epoch, have, nil
}

// note counts a link that has ended because of what was forged.
func (s *Session) note(why error) {
	if errors.Is(why, link.ErrForged) {
		s.mu.Lock()
		s.forged++
		s.mu.Unlock()
	}
}

// mode says whether the link in use is alive.
func (s *Session) mode() mode {
	if s.alive() {
		return alive
	}
	return lost
}

// attach has the session go on over the link of an epoch: the peer has so many
// of our frames. Where the old link is alive at both ends, the new one takes
// over as soon as the write under way is done.
func (s *Session) attach(l *link.Conn, path any, epoch, have uint64, gently bool) error {
	if s.ended != nil {
		return s.ended
	}
	if epoch <= s.inUse { // of two resumptions at once the later one has won
		return ErrStale
	}
	if !s.out.acknowledge(have) {
		s.dud++
		return fmt.Errorf("%w: it has %d frames of %d", errProtocol, have, s.out.sent)
	}
	c := &carrier{link: l, path: path, gentle: gently}
	c.touch()
	s.inUse, s.next = epoch, nil
	s.closeAllBut(s.carrier, nil) // a peer cannot pile links up
	s.carriers[c] = true
	s.establish() // the peer knows the session, whatever became of its first answer
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
	err := s.answer(r, path)
	if err != nil && !errors.Is(err, errNotProven) {
		_ = r.link.NetConn().Close()
	}
	return err
}

func (s *Session) answer(r Request, path any) error {
	bound, err := binding(r.link)
	if err != nil {
		return err
	}
	st, have := s.judge(r, bound)
	if st == unknown {
		go r.Unknown()
		return errNotProven
	}
	answer := append([]byte{byte(st)}, uint64Bytes(have)...)
	if _, err := r.link.Write(append(answer, proof(s.key, "acceptor", bound, s.id, r.epoch, st, have)...)); err != nil {
		return err
	}
	if st == stale {
		return ErrStale
	}
	_ = r.link.SetDeadline(time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attach(r.link, path, r.epoch, r.have, st == moved)
}

// judge says what to answer a request, and how many frames have arrived.
func (s *Session) judge(r Request, bound []byte) (st status, have uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cfg.Opener || r.link.Peer() != s.peer || s.ended != nil ||
		!hmac.Equal(r.proof, proof(s.key, "opener", bound, s.id, r.epoch, r.mode, r.have)):
		s.dud++
		return unknown, 0
	case r.epoch <= s.epoch:
		return stale, s.received
	case r.mode == alive && s.alive() && len(s.carriers) == 1: // no other move is under way
		st = moved
	}
	s.epoch = r.epoch
	return st, s.received
}
