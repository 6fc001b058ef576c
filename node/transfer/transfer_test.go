package transfer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair gives the two ends of a TCP connection over loopback.
func pair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// leave closes a connection so that what was said last arrives: a close with
// unread input would reset it.
func leave(c net.Conn) {
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

func target(t testing.TB) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func scan(t testing.TB, paths ...string) *Source {
	t.Helper()
	s, err := Scan(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run lets both sides meet.
func run(t testing.TB, src *Source, r Receiver) (p *Progress, sent, received error) {
	t.Helper()
	a, b := pair(t)
	p = &Progress{}
	done := make(chan error, 1)
	go func() {
		err := Sender{Source: src, Progress: p}.Send(t.Context(), a)
		leave(a)
		done <- err
	}()
	_, received = r.Receive(t.Context(), b)
	leave(b)
	return p, <-done, received
}

// same compares two trees: names, contents, permissions and times of files.
func same(t *testing.T, want, got string) {
	t.Helper()
	list := func(top string) map[string]string {
		all := map[string]string{}
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(top, path)
			all[name] = d.Type().String()
			if d.Type().IsRegular() {
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				info, _ := d.Info()
				all[name] = info.Mode().String() + info.ModTime().String() + string(content)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	w, g := list(want), list(got)
	for name, what := range w {
		if g[name] != what {
			t.Errorf("%q differs", name)
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			t.Errorf("%q is too much", name)
		}
	}
}

// tree makes a folder with files of all sizes that matter.
func tree(t testing.TB) string {
	top := filepath.Join(t.TempDir(), "top")
	for name, size := range map[string]int{
		"empty": 0, "one": 1, "block": Block, "more": Block + 1, "much": 9*Block + 12345,
		"in/a": 10, "in/deep/er/b": 70_000, "ünï çødé": 5,
	} {
		write(t, filepath.Join(top, name), noise(size))
	}
	if err := os.Mkdir(filepath.Join(top, "nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(top, "one"), 0o755); err != nil {
		t.Fatal(err)
	}
	return top
}

func TestFolder(t *testing.T) {
	top := tree(t)
	if err := os.Symlink("/etc", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	src := scan(t, top)
	if len(src.LeftOut) != 1 {
		t.Errorf("left out: %q", src.LeftOut)
	}
	_ = os.Remove(filepath.Join(top, "link"))
	root, dir := target(t)
	p, sent, received := run(t, src, Receiver{Root: root})
	if sent != nil || received != nil {
		t.Fatal(sent, received)
	}
	same(t, top, filepath.Join(dir, "top"))
	if s := p.State(); s.Stage != Complete || s.Bytes != s.Size || s.Arrived != s.Size || s.Files != s.Count || s.Here != 0 || s.Files != 8 {
		t.Errorf("%+v", s)
	}
	// Once more: nothing needs to be sent.
	p, sent, received = run(t, src, Receiver{Root: root})
	if s := p.State(); sent != nil || received != nil || s.Here != s.Size {
		t.Errorf("%v, %v, %+v", sent, received, s)
	}
}

// TestResume has parts of every kind: good ones, longer and shorter ones, and
// such as were spoilt on the disk.
func TestResume(t *testing.T) {
	content := noise(5*Block + 77)
	from := filepath.Join(t.TempDir(), "big")
	write(t, from, content)
	spoilt := bytes.Clone(content)
	spoilt[2*Block+5] ^= 1
	for name, c := range map[string]struct {
		part []byte
		here int64
	}{
		"three blocks and a bit":  {content[:3*Block+100], 3 * Block},
		"all":                     {content, int64(len(content))},
		"too much":                {append(bytes.Clone(content), "more"...), int64(len(content))},
		"spoilt in the third":     {spoilt, 2 * Block},
		"spoilt and too short":    {spoilt[:3*Block], 2 * Block},
		"something else":          {noise(3 * Block), 0},
		"less than a block":       {content[:100], 0},
		"nothing":                 {nil, 0},
		"holes of the page cache": {make([]byte, len(content)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := target(t)
			write(t, filepath.Join(dir, "big"+partSuffix), c.part)
			q := &Progress{}
			p, sent, received := run(t, scan(t, from), Receiver{Root: root, Progress: q})
			if sent != nil || received != nil {
				t.Fatal(sent, received)
			}
			if s := q.State(); s.Arrived != s.Size {
				t.Errorf("%d bytes have arrived, of %d", s.Arrived, s.Size)
			}
			if s := p.State(); s.Here != c.here {
				t.Errorf("%d bytes were taken for good, and %d are", s.Here, c.here)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "big")); !bytes.Equal(got, content) {
				t.Error("it is not what was sent")
			}
			if _, err := os.Lstat(filepath.Join(dir, "big"+partSuffix)); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the part is still there")
			}
		})
	}
}

// TestCut ends the connection in the middle: nothing has its final name, and
// the next attempt goes on.
func TestCut(t *testing.T) {
	content := noise(40 * Block)
	from := filepath.Join(t.TempDir(), "big")
	write(t, from, content)
	root, dir := target(t)
	a, b := pair(t)
	done := make(chan error, 1)
	go func() { done <- Sender{Source: scan(t, from)}.Send(t.Context(), a) }()
	limited := &cutting{Conn: b, left: 20 * Block}
	_, err := Receiver{Root: root}.Receive(t.Context(), limited)
	b.Close()
	if sent := <-done; err == nil || sent == nil {
		t.Fatalf("%v, %v", err, sent)
	}
	if _, err := os.Lstat(filepath.Join(dir, "big")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an unfinished file has its final name")
	}
	p, sent, received := run(t, scan(t, from), Receiver{Root: root})
	if s := p.State(); sent != nil || received != nil || s.Here < 15*Block || s.Here > 20*Block {
		t.Errorf("%v, %v, %+v", sent, received, s)
	}
	same(t, filepath.Dir(from), dir)
}

type cutting struct {
	net.Conn
	left int
}

func (c *cutting) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("cut")
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// TestInterrupted ends the context of either side: both return soon, the other
// one is told, and it goes on later.
func TestInterrupted(t *testing.T) {
	from := filepath.Join(t.TempDir(), "big")
	write(t, from, noise(64*Block))
	for _, sender := range []bool{true, false} {
		root, _ := target(t)
		a, b := pair(t)
		mine, cancel := context.WithCancel(t.Context())
		theirs := t.Context()
		if !sender {
			mine, theirs = theirs, mine
		}
		p, q := &Progress{}, &Progress{}
		done := make(chan error, 1)
		go func() {
			err := Sender{Source: scan(t, from), Progress: q}.Send(mine, a)
			leave(a)
			done <- err
		}()
		slow := &pausing{Conn: b, after: 8 * Block, do: cancel}
		_, received := Receiver{Root: root, Progress: p}.Receive(theirs, slow)
		leave(b)
		sent := <-done
		if !sender {
			sent, received = received, sent
		}
		var stop *StopError
		if !errors.Is(sent, context.Canceled) || !errors.As(received, &stop) || stop.Reason != Paused || !stop.Remote {
			t.Errorf("sender %v: %v, and the other %v", sender, sent, received)
		}
		if got, told := p.State().Arrived, q.State().Arrived; !sender && (got != told || got != p.State().Bytes) || told > got {
			t.Errorf("sender %v: %d bytes have arrived, and the sender knows of %d", sender, got, told)
		}
		cancel()
	}
}

// TestArrived has a receiver stop before it has read anything of a file that was
// sent as a whole.
func TestArrived(t *testing.T) {
	from := filepath.Join(t.TempDir(), "small")
	write(t, from, noise(1000))
	a, b := pair(t)
	p := &Progress{}
	done := make(chan error, 1)
	go func() {
		err := Sender{Source: scan(t, from), Progress: p}.Send(t.Context(), a)
		leave(a)
		done <- err
	}()
	w := newWire(t.Context(), b)
	defer w.close()
	if err := errors.Join(w.put(kindHello, []byte(hello)), w.put(kindGo), w.w.Flush()); err != nil {
		t.Fatal(err)
	}
	for p.State().Bytes < 1000 { // it is all on its way
		runtime.Gosched()
	}
	if got := p.State().Arrived; got != 0 {
		t.Errorf("%d bytes are said to have arrived", got)
	}
	if err := w.put(kindArrived, binary.BigEndian.AppendUint64(nil, 400)); err != nil {
		t.Fatal(err)
	}
	_ = w.bye(&StopError{Reason: Paused})
	leave(b)
	var stop *StopError
	if err := <-done; !errors.As(err, &stop) || !stop.Remote || p.State().Arrived != 400 {
		t.Errorf("%v, %+v", err, p.State())
	}
}

// TestArrivedSoFar has a receiver wait for the rest of a file: what has arrived
// is told meanwhile.
func TestArrivedSoFar(t *testing.T) {
	from := filepath.Join(t.TempDir(), "big")
	write(t, from, noise(2*Block))
	root, _ := target(t)
	a, b := pair(t)
	p := &Progress{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- Sender{Source: scan(t, from), Progress: p}.Send(ctx, a) }()
	enough := make(chan struct{})
	go func() {
		_, err := Receiver{Root: root}.Receive(ctx, &stalling{Conn: b, left: Block + Block/2, until: enough})
		done <- err
	}()
	for p.State().Arrived == 0 {
		runtime.Gosched()
	}
	if got := p.State().Arrived; got != Block {
		t.Errorf("%d bytes have arrived", got)
	}
	close(enough)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// stalling gives nothing after so many bytes, until a channel is closed.
type stalling struct {
	net.Conn
	left  int
	until chan struct{}
}

func (c *stalling) Read(b []byte) (int, error) {
	if c.left <= 0 {
		<-c.until
		return c.Conn.Read(b)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// pausing calls do when so many bytes were read.
type pausing struct {
	net.Conn
	after int
	do    func()
}

func (c *pausing) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.after > 0 {
		if c.after -= n; c.after <= 0 {
			c.do()
		}
	}
	return n, err
}

func TestRefusals(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, noise(2*Block))
	other := noise(2 * Block)
	for name, c := range map[string]struct {
		prepare func(dir string)
		with    Receiver
		want    string
		reason  Reason
	}{
		"a person says no": {nil, Receiver{Accept: func(context.Context, Offer) error { return &StopError{Reason: Declined} }}, "it said no", Declined},
		"room for less":    {func(dir string) { write(t, filepath.Join(dir, "x"+partSuffix), make([]byte, Block)) }, Receiver{Free: func() (uint64, error) { return 100, nil }}, "there is room for 0 MB, and 2 MB are missing", Paused},
		"no room":          {nil, Receiver{Free: func() (uint64, error) { return 100, nil }}, "there is room for 0 MB, and 3 MB are missing", Impossible},
		"another file":     {func(dir string) { write(t, filepath.Join(dir, "x"), other) }, Receiver{}, `"x" is there already, and differs`, Impossible},
		"a shorter file":   {func(dir string) { write(t, filepath.Join(dir, "x"), other[:5]) }, Receiver{}, `"x" is there already, and differs`, Impossible},
		"a folder":         {func(dir string) { write(t, filepath.Join(dir, "x", "y"), nil) }, Receiver{Overwrite: true}, "a folder is in the way", Impossible},
		"a link":           {func(dir string) { _ = os.Symlink("/etc/passwd", filepath.Join(dir, "x")) }, Receiver{Overwrite: true}, "a symbolic link is in the way", Impossible},
		"a link for a part": {func(dir string) { _ = os.Symlink("/tmp/nothing", filepath.Join(dir, "x"+partSuffix)) }, Receiver{},
			"a symbolic link is in the way", Impossible},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := target(t)
			if c.prepare != nil {
				c.prepare(dir)
			}
			c.with.Root = root
			_, sent, received := run(t, scan(t, from), c.with)
			var here, there *StopError
			if !errors.As(received, &here) || here.Remote || here.Reason != c.reason || !strings.Contains(here.Error(), c.want) {
				t.Errorf("the receiver: %v", received)
			}
			if !errors.As(sent, &there) || !there.Remote || there.Reason != c.reason || !strings.Contains(there.Error(), c.want) {
				t.Errorf("the sender: %v", sent)
			}
		})
	}
}

func TestOverwrite(t *testing.T) {
	content := noise(4 * Block)
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, content)
	old := bytes.Clone(content)
	old[3*Block] ^= 1
	root, dir := target(t)
	for _, old := range [][]byte{old, old[:100]} {
		write(t, filepath.Join(dir, "x"), old)
		if _, sent, received := run(t, scan(t, from), Receiver{Root: root, Overwrite: true}); sent != nil || received != nil {
			t.Fatal(sent, received)
		}
		same(t, filepath.Dir(from), dir)
	}
}

// TestChangedFile has a file change between the offer and its turn.
func TestChangedFile(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, noise(Block))
	src := scan(t, from)
	write(t, from, noise(Block-1))
	root, dir := target(t)
	_, sent, received := run(t, src, Receiver{Root: root})
	var stop *StopError
	if !errors.As(sent, &stop) || !strings.Contains(sent.Error(), "has changed since it was offered") || !errors.As(received, &stop) || !stop.Remote {
		t.Errorf("%v, %v", sent, received)
	}
	if _, err := os.Lstat(filepath.Join(dir, "x")); err == nil {
		t.Error("it is there")
	}
}

func TestNoReceiver(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, nil)
	a, b := pair(t)
	go func() { _, _ = b.Write([]byte("SSH-2.0-OpenSSH_9.6\r\n")) }()
	if err := (Sender{Source: scan(t, from)}).Send(t.Context(), a); !errors.Is(err, ErrNoTransfer) {
		t.Error(err)
	}
}

func TestOtherVersions(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, nil)
	for text, want := range map[string]error{"sallyport transfer 1": ErrOtherVersion, "sallyport transport": ErrNoTransfer} {
		a, b := pair(t)
		go func() { _, _ = b.Write(frame(kindHello, []byte(text)...)) }()
		if err := (Sender{Source: scan(t, from)}).Send(t.Context(), a); !errors.Is(err, want) {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

// BenchmarkTransfer is a transfer of 256 MiB over plain TCP, by both sides.
func BenchmarkTransfer(b *testing.B) {
	const size = 256 << 20
	from := filepath.Join(b.TempDir(), "big")
	write(b, from, noise(size))
	src := scan(b, from)
	b.SetBytes(size)
	for b.Loop() {
		root, dir := target(b)
		if _, sent, received := run(b, src, Receiver{Root: root}); sent != nil || received != nil {
			b.Fatal(sent, received)
		}
		_ = os.RemoveAll(filepath.Join(dir, "big"))
	}
}
