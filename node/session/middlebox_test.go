package session

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
)

// meddler is a middlebox on a real connection: it flips one bit of what comes,
// after so many bytes.
type meddler struct {
	net.Conn
	after atomic.Int64
}

func (m *meddler) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if left := m.after.Add(-int64(n)); n > 0 && left < 0 && left >= -int64(n) {
		p[rand.IntN(n)] ^= 1 << rand.IntN(8)
	}
	return n, err
}

// Bytes that a middlebox changes on the way end the link, never the session, and
// nothing of them reaches a stream: whichever end gets them, and wherever they
// are.
func TestBytesThatAMiddleboxChanges(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	done := checked(t, near, far, 16<<20)
	const times = 8
	for k := range times {
		x, y := tcp(t)
		m := &meddler{Conn: x}
		m.after.Store(1 << 40)
		if k%2 == 0 {
			m.Conn = y
			y = m
		} else {
			x = m
		}
		if err := e.resumeOver(x, y, k); err != nil {
			t.Fatal(err)
		}
		m.after.Store(rand.Int64N(512 << 10))
		<-e.need // the opener noticed that it is lost
	}
	if err := e.resume("good"); err != nil {
		t.Fatal(err)
	}
	done()
	if s := e.opener.Stats(); s.Moves != times+1 {
		t.Errorf("%+v", s)
	}
}

// shuffler is a middlebox that knows TLS: of the records that come, it does
// something to one, and to none before it is armed.
type shuffler struct {
	net.Conn
	do    func(next func() []byte) []byte
	armed atomic.Bool
	left  []byte // that was read too far
	err   error
}

func (s *shuffler) Read(p []byte) (int, error) {
	if len(s.left) == 0 && s.err == nil {
		if s.armed.CompareAndSwap(true, false) {
			s.left = s.do(s.record)
		} else {
			s.left = s.record()
		}
	}
	n := copy(p, s.left)
	if s.left = s.left[n:]; n > 0 {
		return n, nil
	}
	return 0, s.err
}

// record reads the next one; empty at the end.
func (s *shuffler) record() []byte {
	r := make([]byte, 5) // RFC 8446 §5.1: type, version, length
	if _, s.err = io.ReadFull(s.Conn, r); s.err != nil {
		return nil
	}
	r = append(r, make([]byte, binary.BigEndian.Uint16(r[3:]))...)
	if _, s.err = io.ReadFull(s.Conn, r[5:]); s.err != nil {
		return nil
	}
	return r
}

// Records that a middlebox repeats, puts in another order, leaves out, cuts
// short or makes up end the link, never the session, whichever end gets them.
func TestRecordsThatAMiddleboxShuffles(t *testing.T) {
	type trick struct {
		name string
		do   func(next func() []byte) []byte
	}
	var old []byte // of an earlier link
	tricks := []trick{
		{"repeated", func(next func() []byte) []byte { old = next(); return slices.Concat(old, old) }},
		{"reordered", func(next func() []byte) []byte { first := next(); return append(next(), first...) }},
		{"left out", func(next func() []byte) []byte { next(); return next() }},
		{"cut short", func(next func() []byte) []byte { r := next(); return slices.Concat(r[:len(r)/2], next()) }},
		{"made up", func(next func() []byte) []byte {
			return slices.Concat([]byte{23, 3, 3, 0, 64}, make([]byte, 64), next())
		}},
		{"from another link", func(next func() []byte) []byte { return slices.Concat(old, next()) }},
	}
	e := begin(t)
	near, far := e.open()
	done := checked(t, near, far, 16<<20)
	for _, trick := range tricks {
		for _, atOpener := range []bool{true, false} {
			x, y := tcp(t)
			m := &shuffler{Conn: y, do: trick.do}
			if atOpener {
				m.Conn, x = x, m
			} else {
				y = m
			}
			if err := e.resumeOver(x, y, trick.name); err != nil {
				t.Fatalf("%s: %v", trick.name, err)
			}
			m.armed.Store(true)
			<-e.need // the opener noticed that it is lost
		}
	}
	if err := e.resume("good"); err != nil {
		t.Fatal(err)
	}
	done()
	for _, s := range []*Session{e.opener, e.acceptor} {
		if s := s.Stats(); !s.Alive || s.Duds != 0 { // TLS has refused them all
			t.Errorf("%+v", s)
		}
	}
}
