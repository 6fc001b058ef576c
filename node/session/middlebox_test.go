package session

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
)

// meddler is a middlebox on a real connection: it flips one bit of what comes,
// after so many bytes.
type meddler struct {
	net.Conn
	after int
}

// greeting is more than what comes at either end before a link is the session's.
const greeting = 16 << 10

func (m *meddler) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if before := m.after; n > 0 && before >= 0 {
		if m.after -= n; m.after < 0 {
			p[rand.IntN(n)] ^= 1 << rand.IntN(8)
		}
	}
	return n, err
}

// Bytes that a middlebox changes on the way end the link, never the session, and
// nothing of them reaches a stream: whichever end gets them, and wherever they
// are.
func TestBytesThatAMiddleboxChanges(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	var done func()
	const times = 8
	for k := range times {
		x, y := tcp(t)
		m := &meddler{Conn: x, after: greeting + rand.IntN(512<<10)}
		if k%2 == 0 {
			m.Conn = y
			y = m
		} else {
			x = m
		}
		if err := e.resumeOver(x, y, k); err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			done = checked(t, near, far, endless)
		}
		e.forged(k + 1)
	}
	if err := e.resume("good"); err != nil {
		t.Fatal(err)
	}
	done()
	if s := e.opener.Stats(); s.Moves != times+1 {
		t.Errorf("%+v", s)
	}
	e.counted(times)
}

// forged waits until so many forgeries were noticed in all, and the opener knows that
// its link is lost by the last of them.
func (e *ends) forged(times int) {
	e.t.Helper()
	eventually(e.t, "what is forged costs the link", func() bool {
		x, y := e.opener.Stats(), e.acceptor.Stats()
		return x.Forged+y.Forged >= times && !x.Alive
	})
}

// counted says whether so many forgeries are counted, each at the end that got it,
// and nothing else is.
func (e *ends) counted(times int) {
	e.t.Helper()
	x, y := e.opener.Stats(), e.acceptor.Stats()
	if !x.Alive || !y.Alive || x.Duds+y.Duds != 0 || x.Forged+y.Forged != times {
		e.t.Errorf("of %d forgeries: %+v at the opener, %+v at the acceptor", times, x, y)
	}
}

// shuffler is a middlebox that knows TLS: of the records that come, it does
// something to one, after so many others.
type shuffler struct {
	net.Conn
	do    func(next func() []byte) []byte
	after int
	left  []byte // that was read too far
	err   error
}

func (s *shuffler) Read(p []byte) (int, error) {
	if len(s.left) == 0 && s.err == nil {
		if s.after--; s.after == -1 {
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
	var done func()
	times := 0
	for _, trick := range tricks {
		for _, atOpener := range []bool{true, false} {
			x, y := tcp(t)
			m := &shuffler{Conn: y, do: trick.do, after: 20} // a greeting has fewer
			if atOpener {
				m.Conn, x = x, m
			} else {
				y = m
			}
			if err := e.resumeOver(x, y, trick.name); err != nil {
				t.Fatalf("%s: %v", trick.name, err)
			}
			if done == nil {
				done = checked(t, near, far, endless)
			}
			times++
			e.forged(times)
		}
	}
	if err := e.resume("good"); err != nil {
		t.Fatal(err)
	}
	done()
	e.counted(times)
	if x, y := e.opener.Stats().Forged, e.acceptor.Stats().Forged; x != y {
		t.Errorf("of as many at either end, %d are counted at the opener and %d at the acceptor", x, y)
	}
}
