package session

import (
	"errors"
	"testing"
	"time"
)

func TestTunnelStreams(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	if near.Tunnel() || far.Tunnel() {
		t.Error("a plain stream is a tunnel's")
	}
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	own, err := e.opener.Open(Tunnel)
	if err != nil {
		t.Fatal(err)
	}
	other := <-e.streams
	if !own.Tunnel() || !other.Tunnel() || other.Kind() != Tunnel {
		t.Error("the kind was lost")
	}
	mustWrite(t, own, "through")
	mustRead(t, other, "through")
	// The acceptor has taken streams, but was told of none of its own.
	if _, err := e.acceptor.Open(Tunnel); !errors.Is(err, ErrUntold) {
		t.Errorf("opening at the acceptor gives %v", err)
	}
	back, err := e.acceptor.Open(Echo)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Verdict(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.acceptor.Open(Tunnel); err != nil {
		t.Errorf("the acceptor opens none: %v", err)
	}
}

func TestTunnelStreamsAreRefused(t *testing.T) {
	e := begin(t, func(_, acceptor *Config) {
		take := acceptor.Accept
		acceptor.Accept = func(s *Stream) error {
			if s.Tunnel() {
				return ErrNotServed
			}
			return take(s)
		}
	})
	near, far := e.open()
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	no, err := e.opener.Open(Tunnel)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = no.Write([]byte("too soon"))
	if err := no.Verdict(); !errors.Is(err, ErrNotServed) {
		t.Errorf("verdict %v", err)
	}
	if _, err := no.Read(make([]byte, 1)); !errors.Is(err, ErrNotServed) {
		t.Errorf("read gave %v", err)
	}
	mustWrite(t, near, "unharmed")
	mustRead(t, far, "unharmed")
}

// A peer whose ACCEPT has no code is of a version that would end the session
// over a kind that it does not know: nothing is sent to it.
func TestAnOldPeerIsNotAsked(t *testing.T) {
	r := beginRaw(t)
	if _, err := r.victim.Open(Tunnel); !errors.Is(err, ErrUntold) {
		t.Errorf("before the peer has told: %v", err)
	}
	s, err := r.victim.Open(Application)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.send(plain(frameAccept, 2)); err != nil {
		t.Fatal(err)
	}
	_ = s.SetReadDeadline(time.Now().Add(ample))
	if err := s.Verdict(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.victim.Open(Tunnel); !errors.Is(err, ErrTooOld) {
		t.Errorf("afterwards: %v", err)
	}
}

// A kind of a newer version is refused by itself: the session goes on.
func TestANewerKindIsRefused(t *testing.T) {
	for _, code := range []byte{4, 7, 8, 255} {
		r := beginRaw(t)
		far := r.open()
		if err := r.send(frame(frameOpen, code, 3, 0), plain(frameData, 3, 'x'), plain(frameFin, 3)); err != nil {
			t.Fatal(err)
		}
		r.until(func(h header) bool { return h.typ == frameReset && h.stream == 3 && h.code == codeNotServed })
		r.unharmed(far)
		if len(r.streams) > 0 {
			t.Errorf("kind %d was handed on", code)
		}
	}
}
