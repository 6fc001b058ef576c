package session

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/link"
)

// ample is enough for what a fault alone keeps from coming, however slow the machine is.
const ample = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ends are two nodes, and a session between them over loopback.
type ends struct {
	t                testing.TB
	a, b             *link.Identity
	opener, acceptor *Session
	streams          chan *Stream // that the opener opened
	back             chan *Stream // that the acceptor opened
	need             chan struct{}
}

func identity(t testing.TB) *link.Identity {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return link.NewIdentity(k, nil)
}

// tcp gives the two ends of a real TCP connection over loopback.
func tcp(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// linked gives the two ends of a nominated and admitted link over x and y.
func linked(t testing.TB, a, b *link.Identity, x, y net.Conn, attempt [16]byte, purpose link.Purpose) (caller, callee *link.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	var failed error
	var both sync.WaitGroup
	both.Go(func() {
		l, err := link.Server(ctx, y, b)
		if err == nil {
			if _, _, err = l.Nomination(time.Now().Add(ample)); err == nil {
				callee, err = l.Admit()
			}
		}
		failed = err
	})
	l, err := link.Client(ctx, x, a, b.Key(), link.Token{})
	if err == nil {
		caller, err = l.Nominate(attempt, purpose)
	}
	both.Wait()
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return caller, callee
}

// begin makes a session; change may alter each end's configuration.
func begin(t testing.TB, change ...func(opener, acceptor *Config)) *ends {
	t.Helper()
	e := &ends{t: t, a: identity(t), b: identity(t), streams: make(chan *Stream, 300), back: make(chan *Stream, 300), need: make(chan struct{}, 100)}
	x, y := tcp(t)
	attempt := [16]byte{1, 2, 3}
	caller, callee := linked(t, e.a, e.b, x, y, attempt, link.Session)
	oc := Config{
		Opener: true, Attempt: attempt, Path: 0, CutLife: ample,
		Accept: func(s *Stream) error { e.back <- s; return nil },
		Need: func(*Session) {
			select {
			case e.need <- struct{}{}:
			default: // nobody counts so many
			}
		},
	}
	ac := Config{Attempt: attempt, Path: 0, CutLife: ample, Accept: func(s *Stream) error { e.streams <- s; return nil }}
	for _, f := range change {
		f(&oc, &ac)
	}
	var err error
	if e.opener, err = New(caller, oc); err != nil {
		t.Fatal(err)
	}
	if e.acceptor, err = New(callee, ac); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.opener.Close(); e.acceptor.Close() })
	return e
}

// open gives both ends of a new stream.
func (e *ends) open() (near, far *Stream) {
	e.t.Helper()
	near, err := e.opener.Open(Application)
	if err != nil {
		e.t.Fatal(err)
	}
	select {
	case far = <-e.streams:
	case <-time.After(ample):
		e.t.Fatal("the stream did not arrive")
	}
	return near, far
}

// resume makes a new link and goes on over it.
func (e *ends) resume(path any) error {
	e.t.Helper()
	x, y := tcp(e.t)
	return e.resumeOver(x, y, path)
}

func (e *ends) resumeOver(x, y net.Conn, path any) error {
	caller, callee := linked(e.t, e.a, e.b, x, y, [16]byte{9}, link.Resume)
	answered := make(chan error, 1)
	go func() {
		r, err := ReadRequest(callee)
		if err == nil {
			err = e.acceptor.Answer(r, path)
		}
		answered <- err
	}()
	err := e.opener.Resume(context.Background(), caller, path)
	return errors.Join(err, <-answered)
}

// cut ends the link in use as a network does that resets connections.
func (e *ends) cut() {
	e.opener.mu.Lock()
	c := e.opener.carrier
	e.opener.mu.Unlock()
	if c != nil {
		_ = c.link.NetConn().Close()
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(ample); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func mustRead(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func mustWrite(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}
