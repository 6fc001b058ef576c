package session

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

// raw is a peer that has the keys of a session, and sends what the test wants:
// the opener of a session whose other end, the victim, is real.
type raw struct {
	t       *testing.T
	a, b    *link.Identity
	link    *link.Conn
	id      ID
	key     [32]byte
	epoch   uint64
	sent    uint64 // numbered frames
	victim  *Session
	streams chan *Stream
}

func beginRaw(t *testing.T, change ...func(*Config)) *raw {
	t.Helper()
	r := &raw{t: t, a: identity(t), b: identity(t), streams: make(chan *Stream, 300)}
	x, y := tcp(t)
	attempt := [16]byte{4, 5, 6}
	caller, callee := linked(t, r.a, r.b, x, y, attempt, link.Session)
	r.link = caller
	t.Cleanup(func() { _ = r.link.NetConn().Close() })
	if err := caller.Verdict(); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.id, r.key, err = secrets(caller, attempt); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Attempt: attempt, CutLife: ample, Accept: func(s *Stream) error { r.streams <- s; return nil }}
	for _, f := range change {
		f(&cfg)
	}
	if r.victim, err = New(callee, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.victim.Close() })
	return r
}

// frame makes a frame, right or wrong: length is what its header says.
func frame(typ frameType, code byte, stream uint32, length int, payload ...byte) []byte {
	b := make([]byte, headerSize, headerSize+len(payload))
	header{typ, code, length, stream}.put(b)
	return append(b, payload...)
}

func plain(typ frameType, stream uint32, payload ...byte) []byte {
	return frame(typ, 0, stream, len(payload), payload...)
}

func number(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// send sends frames. An error is nothing: the victim may have had enough.
func (r *raw) send(frames ...[]byte) error {
	var all []byte
	for _, f := range frames {
		if frameType(f[0]).numbered() {
			r.sent++
		}
		all = append(all, f...)
	}
	_, err := r.link.Write(all)
	return err
}

// open opens stream 1, and gives the victim's end.
func (r *raw) open() *Stream {
	r.t.Helper()
	if err := r.send(plain(frameOpen, 1), plain(frameData, 1, []byte("hello")...)); err != nil {
		r.t.Fatal(err)
	}
	far := <-r.streams
	mustRead(r.t, far, "hello")
	return far
}

// drain reads what the victim sends until the link ends.
func (r *raw) drain() error {
	_ = r.link.SetReadDeadline(time.Now().Add(ample))
	_, err := io.Copy(io.Discard, r.link)
	return err
}

// until reads what the victim sends, up to a frame for which ok holds.
func (r *raw) until(ok func(header) bool) {
	r.t.Helper()
	_ = r.link.SetReadDeadline(time.Now().Add(ample))
	for head := make([]byte, headerSize); ; {
		if _, err := io.ReadFull(r.link, head); err != nil {
			r.t.Fatal(err)
		}
		h, err := parseHeader(head)
		if err != nil {
			r.t.Fatal(err)
		}
		if ok(h) {
			return
		}
		if _, err := io.CopyN(io.Discard, r.link, int64(h.length)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// newLink gives the two ends of another link between the keys.
func (r *raw) newLink() (caller, callee *link.Conn) {
	x, y := tcp(r.t)
	return linked(r.t, r.a, r.b, x, y, [16]byte{9}, link.Resume)
}

// request is a resumption's, good for that link.
func (r *raw) request(l *link.Conn, epoch, have uint64) []byte {
	r.t.Helper()
	bound, err := binding(l)
	if err != nil {
		r.t.Fatal(err)
	}
	b := append(append(append(r.id[:], byte(lost)), number(epoch)...), number(have)...)
	return append(b, proof(r.key, "opener", bound, r.id, epoch, 0, have)...)
}

// ask sends a request over a link whose other end the victim reads, and gives
// its answer's status and have, and the error that the victim found.
func (r *raw) ask(caller, callee *link.Conn, request []byte) (st status, have uint64, found error) {
	r.t.Helper()
	if _, err := caller.Write(request); err != nil {
		r.t.Fatal(err)
	}
	q, err := ReadRequest(callee)
	if err != nil {
		r.t.Fatal(err)
	}
	found = r.victim.Answer(q, "new")
	b := make([]byte, answerSize)
	_ = caller.SetReadDeadline(time.Now().Add(ample))
	if _, err := io.ReadFull(caller, b); err != nil {
		r.t.Fatalf("no answer: %v", err)
	}
	_ = caller.SetReadDeadline(time.Time{})
	st, have = status(b[0]), binary.BigEndian.Uint64(b[1:])
	if st != unknown {
		bound, _ := binding(caller)
		if !hmac.Equal(b[9:], proof(r.key, "acceptor", bound, r.id, binary.BigEndian.Uint64(request[17:]), st, have)) {
			r.t.Error("the victim's own proof is wrong")
		}
	}
	return st, have, found
}

// resume goes on over a new link, rightly; what the victim lacks is given up.
func (r *raw) resume() {
	r.t.Helper()
	caller, callee := r.newLink()
	r.epoch++
	st, have, err := r.ask(caller, callee, r.request(caller, r.epoch, 0))
	if st != resumed || err != nil {
		r.t.Fatalf("a good resumption is answered %d, %v", st, err)
	}
	_ = r.link.NetConn().Close()
	r.link, r.sent = caller, have
	if err := r.send(plain(frameFrom, 0, number(have)...)); err != nil {
		r.t.Fatal(err)
	}
}

// unharmed shows that the victim's session and its stream go on.
func (r *raw) unharmed(far *Stream) {
	r.t.Helper()
	if err := r.send(plain(frameData, 1, []byte("still there")...)); err != nil {
		r.t.Fatal(err)
	}
	mustRead(r.t, far, "still there")
}

// gone shows that the victim's session has ended, for good.
func (r *raw) gone(far *Stream, why error) {
	r.t.Helper()
	select {
	case <-r.victim.Over():
	case <-time.After(ample):
		r.t.Fatal("the session goes on")
	}
	if err := r.victim.Established(); !errors.Is(err, why) {
		r.t.Errorf("it ended with %v", err)
	}
	if _, err := far.Write([]byte("x")); err == nil {
		r.t.Error("its stream goes on")
	}
	caller, callee := r.newLink()
	defer caller.NetConn().Close()
	if st, _, err := r.ask(caller, callee, r.request(caller, r.epoch+1, 0)); st != unknown || err == nil {
		r.t.Errorf("resuming it is answered %d, %v", st, err)
	}
}
