package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// script is a connection from which a peer's words are read, whatever we say.
type script struct {
	net.Conn // nil: nothing else is called
	io.Reader
}

func (s script) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (script) Write(b []byte) (int, error)        { return len(b), nil }
func (script) SetReadDeadline(time.Time) error    { return nil }
func (script) SetWriteDeadline(t time.Time) error { return nil }

// say makes frames.
func say(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

func frame(k kind, payload ...byte) []byte {
	return append([]byte{byte(k), 0, byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

func entry(path string, size int64) []byte {
	return frame(kindEntry, Entry{Path: path, Size: size, Mode: 0o644, Modified: time.Unix(1, 0)}.encode()...)
}

func folder(path string) []byte {
	return frame(kindEntry, Entry{Path: path, Folder: true, Mode: 0o755, Modified: time.Unix(1, 0)}.encode()...)
}

func file(number byte, from byte) []byte {
	return frame(kindFile, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, from)
}

func end(content string) []byte {
	var sums []sum
	if content != "" {
		sums = append(sums, sumOf(content))
	}
	m := newMill(nil)
	defer m.close()
	h, _ := newRooter(m, int64(len(content)), sums).root()
	return frame(kindEnd, h[:]...)
}

// good is a whole transfer of a file "x" with "hello".
func good() []byte {
	return say(entry("x", 5), frame(kindOffered), file(0, 0), frame(kindData, []byte("hello")...), end("hello"), frame(kindFinish))
}

// FuzzReceive has a receiver hear anything. Whatever it is, it ends, and nothing
// is outside of the folder, or there unverified.
func FuzzReceive(f *testing.F) {
	f.Add(good())
	f.Add(say(folder("d"), entry("d/x", 0), frame(kindOffered), file(1, 0), end(""), frame(kindFinish)))
	f.Add(say(entry("../x", 5), frame(kindOffered)))
	f.Add(frame(kindStop, 2, 'x'))
	top := f.TempDir()
	f.Fuzz(func(t *testing.T, heard []byte) {
		dir, err := os.MkdirTemp(top, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		offer, err := Receiver{Root: root}.Receive(t.Context(), script{Reader: bytes.NewReader(heard)})
		if err == nil && (len(offer.Entries) == 0 || !bytes.Contains(heard, frame(kindFinish))) {
			t.Errorf("a success with %d entries", len(offer.Entries))
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !e.IsDir() && !isPart(e.Name()) && !bytes.Contains(heard, []byte(e.Name())) {
				t.Errorf("%q was made", e.Name())
			}
		}
		if above, _ := os.ReadDir(top); len(above) != 1 {
			t.Errorf("there is something outside: %v", above)
		}
	})
}

// FuzzSend has a sender hear anything.
func FuzzSend(f *testing.F) {
	path := f.TempDir() + "/x"
	if err := os.WriteFile(path, []byte("hello"), 0o644); err != nil {
		f.Fatal(err)
	}
	src, err := Scan(context.Background(), []string{path})
	if err != nil {
		f.Fatal(err)
	}
	hi := frame(kindHello, []byte(hello)...)
	sum := sumOf("hello")
	f.Add(say(hi, frame(kindGo), frame(kindDone)))
	f.Add(say(hi, frame(kindHave, append([]byte{0, 0, 0, 0}, sum[:]...)...), frame(kindGo), frame(kindDone)))
	f.Add(say(hi, frame(kindGo), frame(kindArrived, make([]byte, 8)...), frame(kindDone)))
	f.Add(say(hi, frame(kindStop, 1, 'n', 'o')))
	f.Fuzz(func(t *testing.T, heard []byte) {
		err := Sender{Source: src}.Send(t.Context(), script{Reader: bytes.NewReader(heard)})
		if err == nil && !bytes.Contains(heard, frame(kindDone)) {
			t.Error("success without the receiver's word")
		}
	})
}

func TestEntries(t *testing.T) {
	e := Entry{Path: "a/b", Size: 1 << 40, Mode: 0o755, Modified: time.Unix(1_700_000_000, 123)}
	if got, err := decodeEntry(e.encode()); err != nil || got != e {
		t.Errorf("%+v, %v", got, err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "short": make([]byte, entryHead-1), "kind": append([]byte{2}, e.encode()[1:]...),
		"setuid":               Entry{Path: "x"}.with(1, 0x0f),
		"a negative size":      Entry{Path: "x", Size: -1}.encode(),
		"a folder with a size": append([]byte{1}, e.encode()[1:]...),
	} {
		if _, err := decodeEntry(b); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// with changes a byte of the encoding.
func (e Entry) with(at int, to byte) []byte {
	b := e.encode()
	b[at] = to
	return b
}

func TestStopIsFitForTerminals(t *testing.T) {
	err := decodeStop(append([]byte{byte(Impossible)}, "a\x1b[2Jb\nc\u202ed\xff"...))
	var stop *StopError
	if !errors.As(err, &stop) || stop.Text != "a[2Jbcd" {
		t.Errorf("%q", stop.Text)
	}
	long := (&StopError{Reason: Paused, Text: strings.Repeat("ü", 300)}).encode()
	if len(long) > 1+maxReason || decodeStop(long).(*StopError).Reason != Paused {
		t.Errorf("%d bytes", len(long))
	}
}
