package session

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naive is what an outbox does, in the most stupid way: all that was ever
// pushed, and where each reader of it is.
type naive struct {
	all               []*written
	acked, next, sent int
	taken             [][]byte // what is being written, as it must stay
}

type written struct {
	id     uint32
	text   []byte
	sealed bool
	cap    int
}

// Pushes, writes, acknowledgements and new links in any order: what is written
// is what a list of all frames has, from where it should be, and stays so while
// it is being written.
func TestOutboxAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		m := new(naive)
		var writing [][]byte
		inFlight := false
		stamp := uint64(0)
		text := func(n int) []byte { // no two alike
			stamp++
			return append(bytes.Repeat([]byte{byte(n)}, n), binary.BigEndian.AppendUint64(nil, stamp)...)
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				id := rapid.Uint32Range(1, 3).Draw(t, "id")
				p := text(rapid.SampledFrom([]int{0, 1, 50, 3000, 20000, 60000}).Draw(t, "size"))
				b := newFrame(header{typ: frameData, stream: id}, min(2*len(p), maxPayload))
				b.bytes = append(b.bytes, p...)
				b.open = rapid.Bool().Draw(t, "open")
				if n := o.push(b); n != uint64(len(m.all)) {
					t.Fatalf("frame %d has number %d", len(m.all), n)
				}
				m.seal(len(m.all))
				m.all = append(m.all, &written{id, p, !b.open, cap(b.bytes)})
			},
			"extend": func(t *rapid.T) {
				id := rapid.Uint32Range(1, 3).Draw(t, "id")
				p := text(rapid.SampledFrom([]int{0, 1, 50, 3000}).Draw(t, "size"))
				n := len(m.all)
				can := n > 0 && m.next < n && !m.all[n-1].sealed && m.all[n-1].id == id &&
					headerSize+len(m.all[n-1].text)+len(p) <= m.all[n-1].cap
				if o.extend(id, p) != can {
					t.Fatalf("extending frame %d: want %v", n-1, can)
				}
				if can {
					m.all[n-1].text = append(m.all[n-1].text, p...)
				}
			},
			"take": func(t *rapid.T) {
				if inFlight {
					t.Skip()
				}
				inFlight = true
				writing = o.take(nil)
				size := 0
				m.taken = nil
				for size < batchBytes && m.next < len(m.all) {
					w := m.all[m.next]
					m.taken = append(m.taken, slices.Clone(w.text))
					size += headerSize + len(w.text)
					w.sealed = true
					m.next++
				}
				m.sent = max(m.sent, m.next)
			},
			"written": func(t *rapid.T) {
				if !inFlight {
					t.Skip()
				}
				inFlight = false
				if len(writing) != len(m.taken) {
					t.Fatalf("%d frames were taken, want %d", len(writing), len(m.taken))
				}
				for k, b := range writing {
					h, err := parseHeader(b[:headerSize])
					if err != nil || h.length != len(b)-headerSize || !bytes.Equal(b[headerSize:], m.taken[k]) {
						t.Fatalf("frame %d of %d was written as another: %+v %v", k, len(writing), h, err)
					}
				}
				o.written()
			},
			"acknowledge": func(t *rapid.T) {
				n := rapid.IntRange(0, m.sent+2).Draw(t, "number")
				if o.acknowledge(uint64(n)) != (n <= m.sent) {
					t.Fatalf("ACK %d of %d sent", n, m.sent)
				}
				if n <= m.sent {
					m.acked = max(m.acked, n)
				}
			},
			"rewind": func(*rapid.T) {
				o.rewind()
				m.next = m.acked
			},
			"": func(t *rapid.T) { // after each
				queued := 0
				for _, w := range m.all[m.sent:] {
					queued += headerSize + len(w.text)
				}
				if int(o.acked) != m.acked || int(o.next) != m.next || int(o.sent) != m.sent || int(o.end()) != len(m.all) || o.queued != queued {
					t.Fatalf("acked %d next %d sent %d end %d queued %d, want %d %d %d %d %d",
						o.acked, o.next, o.sent, o.end(), o.queued, m.acked, m.next, m.sent, len(m.all), queued)
				}
				if o.empty() != (m.acked == len(m.all)) || o.unsent() != (m.next < len(m.all)) || o.waiting() != (m.acked < m.sent) {
					t.Fatal("empty, unsent or waiting is wrong")
				}
				kept := 0
				for _, b := range o.frames {
					kept += cap(b.bytes) + blockCost
				}
				if o.kept != kept || int(o.first) > min(m.acked, m.next) || !inFlight && int(o.first) < min(m.acked, m.next) {
					t.Fatalf("%d kept of %d, from %d on", o.kept, kept, o.first)
				}
			},
		})
	})
}

// seal ends the growth of the last frame below n.
func (m *naive) seal(n int) {
	if n > 0 {
		m.all[n-1].sealed = true
	}
}
