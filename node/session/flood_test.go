package session

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

// heap is what is reachable, in bytes.
func heap() int {
	runtime.GC()
	runtime.GC() // pools give up what they hold at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// grew fails where more memory is held than before, by more than most bytes.
func grew(t *testing.T, before, most int) {
	t.Helper()
	if now := heap(); now-before > most {
		t.Errorf("%d KiB more are held, at most %d are due", (now-before)>>10, most>>10)
	}
}

// Floods of frames that cost little to send: nothing piles up, and the stream
// beside them goes on.
func TestFloods(t *testing.T) {
	const frames = 60000
	for name, c := range map[string]struct {
		frame func(k uint32) []byte
		most  int
	}{
		"PING":              {func(k uint32) []byte { return plain(framePing, 0, number(uint64(k))...) }, 1 << 20},
		"PONG":              {func(k uint32) []byte { return plain(framePong, 0, number(uint64(k))...) }, 1 << 20},
		"ACK":               {func(uint32) []byte { return plain(frameAck, 0, number(0)...) }, 1 << 20},
		"OPEN":              {func(k uint32) []byte { return plain(frameOpen, 3+2*k) }, 4 << 20},
		"RESET":             {func(uint32) []byte { return plain(frameReset, 3) }, 1 << 20},
		"ACCEPT":            {func(uint32) []byte { return plain(frameAccept, 3) }, 1 << 20},
		"WINDOW of nothing": {func(uint32) []byte { return plain(frameWindow, 3, 0, 0, 0, 0) }, 1 << 20},
		"DATA of a closed":  {func(uint32) []byte { return plain(frameData, 3, 'x') }, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			r := beginRaw(t, func(cfg *Config) {
				accept := cfg.Accept
				cfg.Accept = func(s *Stream) error {
					if s.id > 3 { // not all of a flood of them
						return nil
					}
					return accept(s)
				}
			})
			far := r.open()
			if err := r.send(plain(frameOpen, 3)); err != nil {
				t.Fatal(err)
			}
			if c := <-r.streams; name == "DATA of a closed" {
				c.Close()
			}
			go r.acknowledge()
			before := heap()
			var batch [][]byte
			for k := range uint32(frames) {
				if batch = append(batch, c.frame(k+1)); len(batch) == 1000 {
					if err := r.send(batch...); err != nil {
						t.Fatal(err)
					}
					batch = nil
				}
			}
			r.unharmed(far)
			eventually(t, "what the flood was answered is acknowledged", func() bool {
				r.victim.mu.Lock()
				defer r.victim.mu.Unlock()
				return len(r.victim.out.frames) < 64
			})
			r.victim.mu.Lock()
			theirs, pongs := r.victim.theirs, len(r.victim.pong)
			r.victim.mu.Unlock()
			if theirs > maxTheirs || pongs > maxPongs {
				t.Errorf("%d streams, %d pongs", theirs, pongs)
			}
			grew(t, before, c.most)
			if s := r.victim.Stats(); s.Duds != 0 || !s.Alive {
				t.Errorf("%+v", s)
			}
		})
	}
}

// acknowledge reads what the victim sends, and acknowledges it.
func (r *raw) acknowledge() {
	l, got := r.link, uint64(0)
	b := make([]byte, maxPayload)
	for {
		if _, err := io.ReadFull(l, b[:headerSize]); err != nil {
			return
		}
		h, err := parseHeader(b[:headerSize])
		if err != nil {
			r.t.Error(err)
			return
		}
		if _, err := io.ReadFull(l, b[:h.length]); err != nil {
			return
		}
		if h.typ.numbered() {
			if got++; got%64 == 0 {
				_, _ = l.Write(plain(frameAck, 0, number(got)...))
			}
		}
	}
}

// A peer that opens streams, has them refused, and acknowledges none of the
// refusals gets the session ended before they take much memory.
func TestAFloodThatIsNeverAcknowledged(t *testing.T) {
	before := heap()
	r := beginRaw(t, func(cfg *Config) { cfg.Accept = nil })
	go func() { _ = r.drain() }()
	id := uint32(1)
	for range 4 * maxKept / (64 + blockCost) / 2000 { // twice what may wait
		var batch [][]byte
		for range 2000 {
			batch = append(batch, plain(frameOpen, id))
			id += 2
		}
		if r.send(batch...) != nil {
			break
		}
	}
	select {
	case <-r.victim.Over():
	case <-time.After(ample):
		t.Fatalf("%d streams' refusals wait for an ACK, and the session goes on", id/2)
	}
	if s := r.victim.Stats(); s.Duds != 1 {
		t.Errorf("%+v", s)
	}
	grew(t, before, 4*maxKept)
}

// Data in single bytes to streams that nobody reads takes about as much memory
// as the windows allow, not a hundred times that.
func TestSingleBytesThatNobodyReads(t *testing.T) {
	const streams = 2
	r := beginRaw(t)
	far := r.open()
	before := heap()
	one := plain(frameData, 3, 'x')
	for k := range uint32(streams) {
		id := 3 + 2*k
		if err := r.send(plain(frameOpen, id)); err != nil {
			t.Fatal(err)
		}
		<-r.streams
		one[7] = byte(id)
		batch := bytes.Repeat(one, firstWindow/16)
		for range 16 {
			r.sent += firstWindow / 16
			if _, err := r.link.Write(batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.unharmed(far)
	grew(t, before, 3*streams*firstWindow+1<<20)
}

// A peer that resumes over and over and never says where its links begin holds
// two links at most.
func TestAFloodOfResumptions(t *testing.T) {
	r := beginRaw(t)
	far := r.open()
	for k := range 25 {
		caller, callee := r.newLink()
		defer caller.NetConn().Close()
		r.epoch++
		if st, _, err := r.ask(caller, callee, r.request(caller, r.epoch, 0)); st != resumed || err != nil {
			t.Fatal(k, st, err)
		}
		r.link = caller
	}
	eventually(t, "old links are closed", func() bool {
		r.victim.mu.Lock()
		defer r.victim.mu.Unlock()
		return len(r.victim.carriers) <= 2
	})
	if err := r.send(plain(frameFrom, 0, number(2)...)); err != nil {
		t.Fatal(err)
	}
	r.unharmed(far)
	if s := r.victim.Stats(); s.Moves != 25 || s.Duds != 0 {
		t.Errorf("%+v", s)
	}
}

// A peer that reads nothing, or that never acknowledges though it grants all the
// windows it may, makes writers wait: what they hold is bounded, and Close does
// not wait for it.
func TestAPeerThatNeverReadsOrAcknowledges(t *testing.T) {
	for name, reads := range map[string]bool{"reads nothing": false, "acknowledges nothing": true} {
		t.Run(name, func(t *testing.T) {
			r := beginRaw(t)
			far := r.open()
			if err := r.send(plain(frameWindow, 1, 1, 128, 0, 0)); err != nil { // 24 MiB
				t.Fatal(err)
			}
			if reads {
				l := r.link
				go func() { _, _ = io.Copy(io.Discard, l) }()
			}
			eventually(t, "the window is open", func() bool {
				r.victim.mu.Lock()
				defer r.victim.mu.Unlock()
				return far.credit > 24<<20
			})
			before := heap()
			_ = far.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := far.Write(make([]byte, 24<<20))
			if !errors.Is(err, os.ErrDeadlineExceeded) || n > maxKept+maxQueued {
				t.Errorf("%d MiB were taken, %v", n>>20, err)
			}
			grew(t, before, maxKept+2*maxQueued+(24<<20)) // our own 24 MiB as well
			r.unharmed(far)
			began := time.Now()
			_ = far.Close()
			if took := time.Since(began); took > flushTime+ample/2 {
				t.Errorf("Close took %v", took)
			}
			if s := r.victim.Stats(); s.Duds != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
