package session

import "time"

// beat looks at the pulse when its timer says so.
func (s *Session) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.reschedule()
	}
}

// reschedule looks at the pulse and sets the timer for the next look.
func (s *Session) reschedule() {
	c := s.carrier
	if c == nil {
		return
	}
	s.pulse.heard(c.lastHeard())
	was := s.pulse.suspect
	again := s.pulse.look(time.Now(), s.out.waiting(), s.out.kept)
	s.timer.Reset(again)
	if s.pulse.pingDue {
		s.wake.Signal()
	}
	switch {
	case s.pulse.suspect && !was:
		s.log.Info("path of a session is silent", "peer", s.peer.Short(), "for", s.pulse.patience(s.out.kept), "rtt", s.pulse.trip.is)
		s.tell()
		s.wait(s.cfg.SilentLife)
		s.lost()
	case was && !s.pulse.suspect:
		s.log.Info("path of a session is back", "peer", s.peer.Short())
		s.life.Stop()
		s.tell()
		if s.cfg.Back != nil {
			go s.cfg.Back(s)
		}
	}
}

// wait ends the session after a while, unless a link comes.
func (s *Session) wait(life time.Duration) {
	if s.life == nil {
		s.life = time.AfterFunc(life, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.ended == nil && !s.alive() {
				s.end(ErrGone)
			}
		})
		return
	}
	s.life.Reset(life)
}

// Abandon says that no new link will come: when the one in use is lost, so is
// the session.
func (s *Session) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone = true
	if s.ended == nil && s.carrier == nil {
		s.end(ErrGone)
	}
}

// Waits reports whether the session waits for a new link: it has none, or one
// that is suspect.
func (s *Session) Waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended == nil && !s.alive()
}

// GiveUp ends a session that waits for a new link, as if it had waited for long
// enough, and reports whether it did.
func (s *Session) GiveUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || s.alive() {
		return false
	}
	s.end(ErrGone)
	return true
}

// lost tells the owner that the link has ended or fallen silent.
func (s *Session) lost() {
	if s.cfg.Lost != nil {
		go s.cfg.Lost(s)
	}
	s.need()
}

// need has the owner look for a link, once at a time.
func (s *Session) need() {
	if !s.cfg.Opener || s.cfg.Need == nil || !s.worth() {
		return
	}
	if s.again = s.asked; s.asked {
		return
	}
	s.asked = true
	go func() {
		s.cfg.Need(s)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = false
		if s.again && s.ended == nil && !s.alive() {
			s.need()
		}
	}()
}

// Needs reports whether a new link is wanted: there is none, or it is suspect.
func (s *Session) Needs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended == nil && !s.alive() && s.worth()
}

// Check asks the peer for a sign of life at once, and has little patience: the
// network has changed.
func (s *Session) Check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || s.carrier == nil {
		return
	}
	s.pulse.check(time.Now())
	s.reschedule()
	s.wake.Signal()
}
