package session

import (
	"math/rand/v2"
	"net"
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
