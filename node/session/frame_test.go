package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
)

var everyType = []frameType{
	frameOpen, frameAccept, frameData, frameFin, frameClose, frameReset, frameWindow, frameClosing,
	frameFrom, frameAck, framePing, framePong,
}

// Whatever parses is written back as it was, and has a length that its type
// may have.
func FuzzParseHeader(f *testing.F) {
	seeds := 0
	for _, typ := range everyType {
		for _, length := range []int{0, 1, 4, 8, maxPayload, maxPayload + 1} {
			f.Add(frame(typ, 0, 1, length))
			f.Add(frame(typ, 2, 0, length))
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerSize {
			return
		}
		h, err := parseHeader(b[:headerSize])
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Errorf("error %v", err)
			}
			return
		}
		back := make([]byte, headerSize)
		h.put(back)
		if !bytes.Equal(back, b[:headerSize]) {
			t.Errorf("%x became %x", b[:headerSize], back)
		}
		if h.typ != frameData && h.length > 8 || h.length > maxPayload {
			t.Errorf("%+v has %d bytes", h.typ, h.length)
		}
	})
}

// still is a session that takes frames in and sends nothing: it has no writer
// and reads no link.
func still() (*Session, *carrier) {
	s := blank(Config{Accept: func(t *Stream) error {
		if t.id%8 == 5 {
			return link.ErrBusy
		}
		return nil
	}})
	s.timer, s.ackTo = time.AfterFunc(time.Hour, func() {}), time.AfterFunc(time.Hour, func() {})
	c := &carrier{started: true}
	s.carrier = c
	return s, c
}

// Any frames in any order: no panic, and the bounds hold after each of them.
// The input is cut into frames by their own headers, as a link is.
func FuzzHandle(f *testing.F) {
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	seeds := [][]byte{
		join(plain(frameOpen, 1), plain(frameData, 1, []byte("hello")...), plain(frameFin, 1), plain(frameClose, 1)),
		join(plain(frameOpen, 1), plain(frameWindow, 1, 0, 1, 0, 0), plain(frameReset, 1), plain(frameClosing, 0)),
		join(plain(frameOpen, 1), plain(frameOpen, 3), plain(frameOpen, 5), plain(frameOpen, 13), plain(frameData, 3, 'x')),
		join(plain(framePing, 0, number(1)...), plain(framePong, 0, number(1)...), plain(frameAck, 0, number(0)...)),
		join(plain(frameAccept, 2), plain(frameData, 2, 'x'), plain(frameData, 2, 'y'), plain(frameData, 2, 'z'), plain(frameReset, 2)),
		join(plain(frameFrom, 0, number(0)...)),
		join(frame(frameOpen, 7, 1, 0)),
	}
	for _, s := range seeds {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, in []byte, act bool) {
		s, c := still()
		s.mu.Lock()
		defer s.mu.Unlock()
		own := s.newStream(2, Application, false)
		s.nextID = 4
		s.control(frameOpen, 0, 2)
		for k := 0; len(in) >= headerSize; k++ {
			h, err := parseHeader(in[:headerSize])
			in = in[headerSize:]
			if err != nil || len(in) < h.length {
				break
			}
			payload := in[:h.length]
			in = in[h.length:]
			var b *block
			if h.typ == frameData {
				b = newBlock(h.length)
				b.bytes = append(b.bytes, payload...)
				payload = b.bytes
			}
			if _, err = s.handle(c, h, payload, b); err != nil {
				if !errors.Is(err, errProtocol) && s.ended == nil {
					t.Errorf("error %v", err)
				}
				break
			}
			if act && k%3 == 0 { // as the writer does
				_ = s.notices(c)
				s.out.take(nil)
				s.out.written()
			}
			check(t, s)
		}
		s.end(errProtocol)
		if own.peerDone && own.credit < 0 {
			t.Error("credit below nothing")
		}
	})
}

// check says where a session breaks one of its bounds.
func check(t *testing.T, s *Session) {
	windows, theirs := 0, 0
	for id, st := range s.streams {
		windows += st.window
		held := 0
		for _, b := range st.in {
			held += len(b.unread())
		}
		if st.id != id || st.granted < 0 || held+st.granted > st.window || st.credit > 4*mostWindow {
			t.Errorf("stream %d: %d held, %d granted of %d, credit %d", id, held, st.granted, st.window, st.credit)
		}
		if st.theirs() {
			theirs++
		}
	}
	if windows != s.windows || theirs != s.theirs || theirs > maxTheirs || len(s.pong) > maxPongs {
		t.Errorf("windows %d, counted %d; theirs %d, counted %d; %d pongs", windows, s.windows, theirs, s.theirs, len(s.pong))
	}
	if s.out.acked > s.out.sent || s.told > s.received || s.out.kept > 2*maxKept+1<<16 {
		t.Errorf("acked %d of %d sent; told %d of %d; %d kept", s.out.acked, s.out.sent, s.told, s.received, s.out.kept)
	}
}

// A header is what docs/session.md says.
func TestFrameVector(t *testing.T) {
	b := newFrame(header{typ: frameData, stream: 0x01020304}, 3)
	b.bytes = append(b.bytes, "abc"...)
	b.seal()
	if want := []byte{3, 0, 0, 3, 1, 2, 3, 4, 'a', 'b', 'c'}; !bytes.Equal(b.bytes, want) {
		t.Errorf("%x, want %x", b.bytes, want)
	}
	if want := []byte{17, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2}; !bytes.Equal(plain(frameAck, 0, number(258)...), want) {
		t.Error("the test's own frames are wrong")
	}
	if binary.BigEndian.Uint64(uint64Bytes(1<<40+5)) != 1<<40+5 {
		t.Error("numbers are not big-endian")
	}
}

// A session that is closing is over once its CLOSING is acknowledged: so that
// comes after the streams that the other end opened before it knew.
func TestTheLastACKComesAfterWhatWasOpened(t *testing.T) {
	s, c := still()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control(frameOpen, 0, 2)
	s.newStream(2, Application, false)
	if _, err := s.handle(c, header{typ: frameClosing}, nil, nil); err != nil {
		t.Fatal(err)
	}
	s.ackNow = true
	if b := s.notices(c); len(b) > 0 {
		t.Errorf("%x goes before OPEN", b)
	}
	s.out.take(nil)
	s.out.written()
	if b := s.notices(c); !bytes.Equal(b, plain(frameAck, 0, number(1)...)) {
		t.Errorf("%x, want an ACK", b)
	}
	s.end(errProtocol)
}

// What was lost while Need was at work on another loss asks for it again.
func TestALossDuringNeed(t *testing.T) {
	asked := make(chan struct{})
	s := blank(Config{Opener: true, Need: func(*Session) { asked <- struct{}{} }})
	s.timer, s.ackTo = time.AfterFunc(time.Hour, func() {}), time.AfterFunc(time.Hour, func() {})
	s.mu.Lock()
	s.newStream(1, Application, false)
	s.need()
	s.need()
	s.mu.Unlock()
	for range 2 {
		select {
		case <-asked:
		case <-time.After(ample):
			t.Fatal("nobody is asked")
		}
	}
	s.Close()
}
