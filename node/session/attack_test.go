package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

// A frame that breaks a rule of the framing ends its link, is counted, and does
// the session no harm; nor does a link that ends anywhere within a frame.
func TestBrokenFramesEndTheirLink(t *testing.T) {
	for name, bad := range map[string][]byte{
		"type 0":                          frame(0, 0, 1, 0),
		"type 9":                          frame(9, 0, 1, 0),
		"type 20":                         frame(20, 0, 0, 0),
		"type 255":                        frame(255, 0, 0, 0),
		"DATA of nothing":                 frame(frameData, 0, 1, 0),
		"DATA too long":                   frame(frameData, 0, 1, maxPayload+1),
		"DATA of no stream":               frame(frameData, 0, 0, 1, 'x'),
		"OPEN with a payload":             frame(frameOpen, 0, 3, 1, 'x'),
		"FIN with a payload":              frame(frameFin, 0, 1, 4),
		"WINDOW of 3 bytes":               frame(frameWindow, 0, 1, 3, 0, 0, 1),
		"WINDOW of 8 bytes":               frame(frameWindow, 0, 1, 8),
		"CLOSING of a stream":             frame(frameClosing, 0, 1, 0),
		"ACK of 7 bytes":                  frame(frameAck, 0, 0, 7),
		"ACK of a stream":                 frame(frameAck, 0, 1, 8),
		"PING of 65535 bytes":             frame(framePing, 0, 0, 65535),
		"ACK beyond what was sent":        plain(frameAck, 0, number(2)...),
		"ACK far beyond":                  plain(frameAck, 0, number(1<<63)...),
		"FROM on the first link":          plain(frameFrom, 0, number(0)...),
		"FROM on the first link, a gap":   plain(frameFrom, 0, number(99)...),
		"a handshake record for a header": {0x16, 3, 3, 0, 0x40, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := beginRaw(t)
			far := r.open()
			_ = r.send(bad)
			_ = r.drain()
			if s := r.victim.Stats(); s.Duds != 1 || s.Alive {
				t.Errorf("%+v", s)
			}
			r.resume()
			r.unharmed(far)
		})
	}
}

func TestTruncatedFrames(t *testing.T) {
	whole := plain(frameData, 1, []byte("not whole")...)
	r := beginRaw(t)
	far := r.open()
	for k := range whole {
		_ = r.send(whole[:k+min(1, len(whole)-1-k)])
		_ = r.link.NetConn().Close()
		r.resume()
		r.unharmed(far) // and nothing before it
	}
	if s := r.victim.Stats(); s.Duds != 0 || s.Moves != len(whole) {
		t.Errorf("a cut is nobody's fault: %+v", s)
	}
}

// Whoever breaks the rules of streams and windows is beyond help.
func TestBrokenStreamsEndTheSession(t *testing.T) {
	kilo := bytes.Repeat([]byte("k"), 32<<10)
	overrun := func(past int) (frames [][]byte) {
		for left := firstWindow - len("hello") + past; left > 0; left -= len(kilo) {
			frames = append(frames, plain(frameData, 1, kilo[:min(left, len(kilo))]...))
		}
		return frames
	}
	for name, bad := range map[string][][]byte{
		"OPEN of the other parity": {plain(frameOpen, 2)},
		"OPEN again":               {plain(frameOpen, 1)},
		"OPEN not increasing":      {plain(frameOpen, 7), plain(frameOpen, 5)},
		"OPEN after CLOSING":       {plain(frameClosing, 0), plain(frameOpen, 3)},
		"DATA on no stream":        {plain(frameData, 3, 'x')},
		"DATA on the victim's":     {plain(frameData, 2, 'x')},
		"DATA after FIN":           {plain(frameFin, 1), plain(frameData, 1, 'x')},
		"DATA after CLOSE":         {plain(frameClose, 1), plain(frameData, 1, 'x')},
		"DATA after RESET":         {plain(frameReset, 1), plain(frameData, 1, 'x')},
		"window overrun":           overrun(1),
		"window of 4 GiB":          {plain(frameWindow, 1, 255, 255, 255, 255)},
		"windows that add up":      {plain(frameWindow, 1, 1, 0, 0, 0), plain(frameWindow, 1, 1, 0, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			r := beginRaw(t)
			far := r.open()
			go func() { _ = r.drain() }()
			_ = r.send(bad...)
			r.gone(far, errProtocol)
			if s := r.victim.Stats(); s.Duds != 2 { // and the attempt to resume it
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("a full window is none", func(t *testing.T) {
		r := beginRaw(t)
		far := r.open()
		if err := r.send(overrun(0)...); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, far, firstWindow-5); err != nil {
			t.Fatal(err)
		}
		r.unharmed(far)
	})
}

// What a new link says first must fit what came before.
func TestNewLinksThatBeginWrongly(t *testing.T) {
	for name, first := range map[string][][]byte{
		"FROM with a gap":           {plain(frameFrom, 0, number(3)...)},
		"FROM with a great gap":     {plain(frameFrom, 0, number(1<<64-1)...)},
		"numbered frames, no FROM":  {plain(frameData, 1, 'x')},
		"FROM twice":                {plain(frameFrom, 0, number(2)...), plain(frameFrom, 0, number(2)...)},
		"ACK of what was not sent":  {plain(frameFrom, 0, number(2)...), plain(frameAck, 0, number(9)...)},
		"FROM of the wrong length":  {plain(frameFrom, 0, 0, 2)},
		"an unknown type, no FROM ": {frame(99, 0, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			r := beginRaw(t)
			far := r.open()
			caller, callee := r.newLink()
			if st, have, err := r.ask(caller, callee, r.request(caller, 1, 0)); st != resumed || have != 2 || err != nil {
				t.Fatalf("%d %d %v", st, have, err)
			}
			r.epoch = 1
			_ = r.link.NetConn().Close()
			r.link = caller
			_ = r.send(first...)
			_ = r.drain()
			if s := r.victim.Stats(); s.Duds != 1 || s.Moves != 1 {
				t.Errorf("%+v", s)
			}
			r.resume()
			r.unharmed(far)
		})
	}
}

// Frames that were sent before are dropped by their number.
func TestReplayedFramesAreDropped(t *testing.T) {
	r := beginRaw(t)
	far := r.open()
	caller, callee := r.newLink()
	r.epoch++
	if st, _, err := r.ask(caller, callee, r.request(caller, r.epoch, 0)); st != resumed || err != nil {
		t.Fatal(st, err)
	}
	r.link = caller
	if err := r.send(plain(frameFrom, 0, number(0)...), plain(frameOpen, 1), plain(frameData, 1, []byte("hello")...)); err != nil {
		t.Fatal(err)
	}
	r.unharmed(far)
	if len(r.streams) != 0 || r.victim.Stats().Duds != 0 {
		t.Error("the stream was opened twice")
	}
}

// Resumptions that are not proven change nothing, on a session that works and
// on one that is lost, and are counted.
func TestForgedResumptions(t *testing.T) {
	r := beginRaw(t)
	far := r.open()
	r.resume() // so that there is an epoch to be below
	var captured []byte
	for name, c := range map[string]struct {
		change func(l *link.Conn) []byte
		want   status
		dud    int
	}{
		"a forged proof": {func(l *link.Conn) []byte { b := r.request(l, 9, 0); b[len(b)-1] ^= 1; return b }, unknown, 1},
		"no proof": {func(l *link.Conn) []byte {
			b := r.request(l, 9, 0)
			clear(b[33:])
			return b
		}, unknown, 1},
		"another epoch than proven": {func(l *link.Conn) []byte { b := r.request(l, 9, 0); b[24]++; return b }, unknown, 1},
		"another mode than proven":  {func(l *link.Conn) []byte { b := r.request(l, 9, 0); b[16]++; return b }, unknown, 1},
		"another have than proven":  {func(l *link.Conn) []byte { b := r.request(l, 9, 0); b[32]++; return b }, unknown, 1},
		"replayed on another link": {func(l *link.Conn) []byte {
			other, callee := r.newLink()
			captured = r.request(other, 9, 0)
			_ = other.NetConn().Close()
			_ = callee.NetConn().Close()
			return captured
		}, unknown, 1},
		"the acceptor's proof for the opener's": {func(l *link.Conn) []byte {
			b := r.request(l, 9, 0)
			bound, _ := binding(l)
			return append(b[:33], proof(r.key, "acceptor", bound, r.id, 9, 0, 0)...)
		}, unknown, 1},
		"a stale epoch":    {func(l *link.Conn) []byte { return r.request(l, r.epoch, 0) }, stale, 0},
		"the first epoch":  {func(l *link.Conn) []byte { return r.request(l, 0, 0) }, stale, 0},
		"another's key":    {nil, unknown, 1},
		"have beyond sent": {func(l *link.Conn) []byte { r.epoch++; return r.request(l, r.epoch, 1000) }, resumed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.victim.Stats()
			caller, callee := r.newLink()
			if c.change == nil { // the right key, proven over a link of somebody else
				x, y := tcp(t)
				_ = caller.NetConn().Close()
				_ = callee.NetConn().Close()
				caller, callee = linked(t, identity(t), r.b, x, y, [16]byte{9}, link.Resume)
				c.change = func(l *link.Conn) []byte { return r.request(l, 9, 0) }
			}
			defer caller.NetConn().Close()
			st, _, err := r.ask(caller, callee, c.change(caller))
			if st != c.want || err == nil {
				t.Errorf("answered %d, %v", st, err)
			}
			after := r.victim.Stats()
			if after.Duds != before.Duds+c.dud || after.Moves != before.Moves || !after.Alive {
				t.Errorf("%+v, before that %+v", after, before)
			}
			r.unharmed(far)
		})
	}
}

// A request that ends early is an error, at every length, and no session is
// asked.
func TestTruncatedResumptions(t *testing.T) {
	r := beginRaw(t)
	far := r.open()
	for size := range requestSize {
		caller, callee := r.newLink()
		b := r.request(caller, 5, 0)
		if size > 0 {
			if _, err := caller.Write(b[:size]); err != nil {
				t.Fatal(err)
			}
		}
		if err := caller.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRequest(callee); err == nil {
			t.Fatalf("%d bytes do for a request", size)
		}
		if _, err := callee.NetConn().Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("the link stays open: %v", err)
		}
		_ = caller.NetConn().Close()
	}
	r.unharmed(far)
}

// A peer that answers a resumption without the session's key, or falsely, does
// not get it, and the session does not end by it.
func TestForgedAnswers(t *testing.T) {
	for name, answer := range map[string]func(e *ends, bound []byte, epoch uint64) []byte{
		"no proof":         func(*ends, []byte, uint64) []byte { return make([]byte, answerSize) },
		"stale, no proof":  func(*ends, []byte, uint64) []byte { return append([]byte{byte(stale)}, make([]byte, answerSize-1)...) },
		"unknown status":   func(*ends, []byte, uint64) []byte { return append([]byte{77}, make([]byte, answerSize-1)...) },
		"cut off":          func(*ends, []byte, uint64) []byte { return make([]byte, answerSize-1) },
		"have beyond sent": func(e *ends, bound []byte, epoch uint64) []byte { return e.answer(bound, epoch, 1<<40) },
	} {
		t.Run(name, func(t *testing.T) {
			e := begin(t)
			near, far := e.open()
			mustWrite(t, near, "x")
			mustRead(t, far, "x")
			x, y := tcp(t)
			caller, callee := linked(t, e.a, e.b, x, y, [16]byte{9}, link.Resume)
			go func() {
				q, err := ReadRequest(callee)
				if err != nil {
					t.Error(err)
					return
				}
				bound, _ := binding(callee)
				_, _ = callee.Write(answer(e, bound, q.epoch))
				_ = callee.CloseWrite()
			}()
			err := e.opener.Resume(t.Context(), caller, nil)
			if err == nil || errors.Is(err, ErrGone) {
				t.Errorf("resume gave %v", err)
			}
			if errors.Is(err, errProtocol) != (e.opener.Stats().Duds == 1) {
				t.Errorf("%v is counted as %+v", err, e.opener.Stats())
			}
			_ = callee.NetConn().Close()
			mustWrite(t, near, "still there")
			mustRead(t, far, "still there")
		})
	}
}

// answer is a good answer with an acceptor's proof.
func (e *ends) answer(bound []byte, epoch, have uint64) []byte {
	s := e.acceptor
	b := append([]byte{byte(resumed)}, number(have)...)
	return append(b, proof(s.key, "acceptor", bound, s.id, epoch, resumed, have)...)
}

// A link to somebody else is no link of the session.
func TestResumingOverAnothersLink(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	x, y := tcp(t)
	other := identity(t)
	caller, callee := linked(t, e.a, other, x, y, [16]byte{9}, link.Resume)
	defer callee.NetConn().Close()
	if err := e.opener.Resume(t.Context(), caller, nil); err == nil {
		t.Error("it is taken")
	}
	if _, err := ReadRequest(callee); err == nil {
		t.Error("the session's name was told to another node")
	}
	mustWrite(t, near, "still there")
	mustRead(t, far, "still there")
}

// Of two resumptions that overlap the later epoch wins at both ends, in
// whichever order they come through.
func TestResumptionsThatOverlap(t *testing.T) {
	e := begin(t)
	near, far := e.open()
	for round := range 10 {
		failed := make(chan error, 4)
		for k := range 4 {
			x, y := tcp(t)
			caller, callee := linked(t, e.a, e.b, x, y, [16]byte{byte(k)}, link.Resume)
			go func() {
				if q, err := ReadRequest(callee); err == nil {
					_ = e.acceptor.Answer(q, k)
				}
			}()
			go func() { failed <- e.opener.Resume(t.Context(), caller, k) }()
		}
		for range 4 {
			if err := <-failed; err != nil && !errors.Is(err, ErrStale) && !errors.Is(err, io.EOF) &&
				!errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
				t.Logf("round %d: %v", round, err)
			}
		}
		text := fmt.Sprint("round ", round)
		eventually(t, "both ends are on one link", func() bool {
			return e.opener.Stats().Alive && e.acceptor.Stats().Alive && e.opener.Path() == e.acceptor.Path()
		})
		mustWrite(t, near, text)
		mustRead(t, far, text)
		mustWrite(t, far, text)
		mustRead(t, near, text)
	}
	eventually(t, "old links are gone", func() bool {
		e.acceptor.mu.Lock()
		defer e.acceptor.mu.Unlock()
		return len(e.acceptor.carriers) == 1
	})
}

// An acknowledgement that was lost with its link is told again on the next, or
// the path would be suspect for want of it.
func TestALostAcknowledgementIsSaidAgain(t *testing.T) {
	r := beginRaw(t)
	r.open()
	caller, callee := r.newLink()
	if st, have, err := r.ask(caller, callee, r.request(caller, 1, 0)); st != resumed || have != 2 || err != nil {
		t.Fatal(st, have, err)
	}
	head := make([]byte, 2*16)
	_ = caller.SetReadDeadline(time.Now().Add(ample))
	if _, err := io.ReadFull(caller, head); err != nil {
		t.Fatal(err)
	}
	want := append(plain(frameFrom, 0, number(0)...), plain(frameAck, 0, number(2)...)...)
	if !bytes.Equal(head, want) {
		t.Errorf("the new link begins with %x, not %x", head, want)
	}
	_ = r.link.NetConn().Close()
	r.link = caller
}
