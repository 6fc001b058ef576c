package session

import (
	"io"
	"testing"
	"time"
)

// A session departs when nothing is left but to say so: what was written arrives,
// and the peer knows that it is over. One that has a stream stays.
func TestDepart(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	e.opener.Depart()
	if over(e.opener) {
		t.Fatal("it has gone with a stream open")
	}
	if _, err := near.Write([]byte("the last words")); err != nil {
		t.Fatal(err)
	}
	_ = near.CloseNow()
	e.opener.Depart()
	if !over(e.opener) {
		t.Error("it is still there")
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "the last words" {
		t.Errorf("read %q, %v", got, err)
	}
	_ = far.Close()
	select {
	case <-e.acceptor.Over():
	case <-time.After(10 * time.Second):
		t.Fatal("the peer does not know")
	}
	for _, s := range []*Session{e.opener, e.acceptor} {
		if err := s.Err(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
	e.opener.Depart() // again does nothing
}

func over(s *Session) bool {
	select {
	case <-s.Over():
		return true
	default:
		return false
	}
}

// Where somebody else carries the link, its end is waited out like silence.
func TestTheEndOfACarriedLinkIsNotThePeers(t *testing.T) {
	e := begin(t, func(o, a *Config) {
		o.CutLife, a.CutLife = time.Millisecond, 200*time.Millisecond
		o.Path, o.Carried = "by a node", func(path any) bool { return path == "by a node" }
	})
	near, _ := e.open()
	if err := near.Verdict(); err != nil {
		t.Fatal(err)
	}
	e.cut()
	<-e.acceptor.Over()
	if over(e.opener) {
		t.Error("it has not waited")
	}
}
