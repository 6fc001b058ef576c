package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Close ends the session and all of its streams at once.
func (s *Session) Close() error {
	s.mu.Lock()
	s.end(net.ErrClosed)
	s.mu.Unlock()
	return nil
}

// end ends everything. The first cause counts.
func (s *Session) end(why error) {
	if s.ended != nil {
		return
	}
	s.ended = why
	close(s.over)
	s.tell()
	s.establish()
	for _, t := range s.streams {
		t.wake()
	}
	clear(s.streams)
	s.timer.Stop()
	s.ackTo.Stop()
	if s.life != nil {
		s.life.Stop()
	}
	for c := range s.carriers {
		if c != s.carrier || !errors.Is(why, io.EOF) {
			_ = c.link.NetConn().Close()
		}
	}
	if c := s.carrier; c != nil && errors.Is(why, io.EOF) {
		go func() {
			defer close(s.left)
			_ = c.link.Close() // says goodbye, which may take some time
		}()
	} else {
		close(s.left)
	}
	s.wake.Broadcast()
	s.room.Broadcast()
	s.arrived.Broadcast()
	s.log.Debug("session over", "peer", s.peer.Short(), "why", why)
	if s.cfg.Ended != nil {
		go s.cfg.Ended(s)
	}
}

func (s *Session) establish() {
	select {
	case <-s.established:
	default:
		close(s.established)
	}
}

// settle ends the session when nothing is left to do: says that it is closing
// when the last stream is gone, and goes when the peer has got that. Streams
// that the peer opened before it knew would have come by then.
func (s *Session) settle() {
	if s.ended != nil || len(s.streams) > 0 {
		return
	}
	if !s.closing {
		s.closing = true
		s.control(frameClosing, 0, 0)
	}
	if s.out.empty() {
		s.end(io.EOF)
	}
}

// worth reports whether there is anything to save by a new link: a stream that
// the peer still uses, or the end of one that it has not got.
func (s *Session) worth() bool {
	if s.out.acked < s.parting {
		return true
	}
	for _, t := range s.streams {
		if !t.peerDone {
			return true
		}
	}
	return false
}

// broken notes that a peer broke a rule of the streams: it is beyond help.
func (s *Session) broken(what string, args ...any) error {
	err := fmt.Errorf("%w: "+what, append([]any{errProtocol}, args...)...)
	s.dud++
	s.end(err)
	return err
}

// Depart ends a session that has no stream any more as soon as everything is handed
// to the network, and does not wait until the peer has said that it has it. It is
// for a process that ends: without it the peer would not know whether the session
// is over. It takes three seconds at most, and leaves a session alone that has
// streams, or no link that is known to work.
func (s *Session) Depart() {
	s.mu.Lock()
	if len(s.streams) == 0 && s.alive() {
		s.flush(s.out.end())
		if len(s.streams) == 0 {
			s.end(io.EOF)
		}
	}
	gone := s.ended != nil
	s.mu.Unlock()
	if !gone {
		return
	}
	late := time.NewTimer(flushTime)
	defer late.Stop()
	select {
	case <-s.left:
	case <-late.C:
	}
}
