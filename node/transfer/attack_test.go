package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sumOf(content string) sum { return sha256.Sum256([]byte(content)) }

// TestHostileSender speaks the protocol by hand: nothing of it may end up
// outside of the folder, or under a final name unverified.
func TestHostileSender(t *testing.T) {
	offered := frame(kindOffered)
	whole := say(file(0, 0), frame(kindData, []byte("hello")...), end("hello"), frame(kindFinish))
	one := func(path string) []byte { return say(entry(path, 5), offered, whole) }
	var many []byte
	for range 3 {
		many = append(many, entry("x", 1)...)
	}
	for name, c := range map[string]struct {
		says []byte
		want string
	}{
		"none, for comparison":    {good(), ""},
		"upwards":                 {one("../../x"), `has ".." in it`},
		"upwards, hidden":         {one("a/../../x"), `has ".." in it`},
		"absolute":                {one("/tmp/x"), "is absolute"},
		"NUL":                     {one("a\x00b"), "U+0000"},
		"escape sequences":        {one("a\x1b]0;x\ab"), "U+001B"},
		"very long":               {one(strings.Repeat("x", 300)), "more than 255 bytes"},
		"backslash":               {one(`..\..\x`), "U+005C"},
		"a part's name":           {one("y.sallyport.part"), "unfinished"},
		"twice":                   {say(many, offered), "comes twice"},
		"below a file":            {say(entry("x", 5), entry("x/y", 5), offered), "not offered"},
		"no parent":               {one("not/there"), "not offered"},
		"nothing":                 {offered, "type 3 in an offer"},
		"a size that can't be":    {say(entry("x", 1<<51), offered), "can't be"},
		"more than there is room": {say(entry("x", 1<<49), offered), "there is room for"},
		"a link that leads out":   {one("out"), "a symbolic link is in the way"},
		"below a link":            {say(folder("out"), entry("out/x", 5), offered, file(1, 0), frame(kindData, []byte("hello")...), end("hello"), frame(kindFinish)), "a symbolic link is in the way"},
		"a folder in the way":     {one("dir"), "a folder is in the way"},
		"another content":         {say(entry("x", 5), offered, file(0, 0), frame(kindData, []byte("jello")...), end("hello"), frame(kindFinish)), "did not arrive as it was sent"},
		"too much data":           {say(entry("x", 5), offered, file(0, 0), frame(kindData, []byte("hello!")...)), "broke the rules"},
		"too little data":         {say(entry("x", 5), offered, file(0, 0), frame(kindData, []byte("hell")...)), "broke the rules"},
		"an early end":            {say(entry("x", 5), offered, file(0, 0), end("")), "broke the rules"},
		"a file left out":         {say(entry("x", 5), entry("y", 5), offered, whole), "broke the rules"},
		"another file first":      {say(entry("x", 5), entry("y", 5), offered, file(1, 0)), "broke the rules"},
		"what is not there":       {say(entry("x", 5), offered, file(0, 5), end("hello"), frame(kindFinish)), "broke the rules"},
		"from the middle":         {say(entry("x", 5), offered, file(0, 3)), "broke the rules"},
		"unknown":                 {frame(99), "a frame of type 99"},
		"a frame too large":       {[]byte{byte(kindData), 0xff, 0xff, 0xff, 0xff}, "broke the rules"},
		"silence":                 {nil, "unexpected EOF"},
		"data before the offer":   {say(frame(kindData, []byte("hello")...)), "type 7 in an offer"},
		"its own acceptance":      {say(frame(kindGo)), "type 5 in an offer"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "target")
			secret := filepath.Join(parent, "secret")
			write(t, secret, []byte("secret"))
			if err := os.MkdirAll(filepath.Join(dir, "dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../secret", filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			r := Receiver{Root: root, Overwrite: true, Free: func() (uint64, error) { return 1 << 40, nil }}
			_, err = r.Receive(t.Context(), script{Reader: bytes.NewReader(c.says)})
			if c.want == "" {
				if got, _ := os.ReadFile(filepath.Join(dir, "x")); err != nil || string(got) != "hello" {
					t.Fatalf("%v, %q", err, got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
			if got, _ := os.ReadFile(secret); string(got) != "secret" {
				t.Errorf("what lies outside is now %q", got)
			}
			_ = filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
				inside, _ := filepath.Rel(dir, path)
				if d.Type().IsRegular() && path != secret && !isPart(path) && !(inside == "x" && strings.Contains(name, "left out")) {
					t.Errorf("%q was made", path)
				}
				return err
			})
		})
	}
}

// TestPlantedFolder has a link to a folder elsewhere in the target, which the
// offer goes through without naming it: os.Root keeps it out.
func TestPlantedFolder(t *testing.T) {
	elsewhere := t.TempDir()
	root, dir := target(t)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	says := say(folder("d"), folder("d/e"), entry("d/e/x", 5), frame(kindOffered), file(2, 0), frame(kindData, []byte("hello")...), end("hello"), frame(kindFinish))
	plant := func(ctx context.Context, _ Offer) error { return os.Symlink(elsewhere, filepath.Join(dir, "d", "e")) }
	_, err := Receiver{Root: root, Accept: plant}.Receive(t.Context(), script{Reader: bytes.NewReader(says)})
	if err == nil {
		t.Error("it went through")
	}
	// The same, planted after all was looked at, by whoever shares the machine.
	_ = os.Remove(filepath.Join(dir, "d", "e"))
	late := Receiver{Root: root, Free: func() (uint64, error) { return 1 << 40, os.Symlink(elsewhere, filepath.Join(dir, "d", "e")) }}
	if _, err := late.Receive(t.Context(), script{Reader: bytes.NewReader(says)}); err == nil {
		t.Error("it went through late")
	}
	if list, _ := os.ReadDir(elsewhere); len(list) != 0 {
		t.Errorf("elsewhere there is %v", list)
	}
}

// TestHostileReceiver answers an offer of one block and five bytes with what no
// receiver says.
func TestHostileReceiver(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, append(make([]byte, Block), "hello"...))
	src := scan(t, filepath.Dir(from)) // number 0 is the folder, 1 the file
	hi := frame(kindHello, []byte(hello)...)
	zero, other := sha256.Sum256(make([]byte, Block)), sumOf("other")
	have := func(number byte, sums ...sum) []byte {
		b := []byte{0, 0, 0, number}
		for _, s := range sums {
			b = append(b, s[:]...)
		}
		return frame(kindHave, b...)
	}
	for name, c := range map[string]struct {
		says []byte
		want string
	}{
		"none, for comparison":     {say(hi, have(1, zero), frame(kindGo)), "unexpected EOF"},
		"something else":           {[]byte("SSH-2.0-OpenSSH"), "does not receive files"},
		"another version":          {frame(kindHello, []byte("sallyport transfer 9")...), "in another way"},
		"it has too much":          {say(hi, have(1, zero, other, other)), "it has more of"},
		"it has too much, later":   {say(hi, have(1, zero), have(1, other, other)), "it has more of"},
		"it has a folder":          {say(hi, have(0, zero)), "it has more of"},
		"it has what is not there": {say(hi, have(9, zero)), "it has number 9"},
		"it goes back":             {say(hi, have(1, zero), have(0, zero)), "it has number 0"},
		"half a hash":              {say(hi, frame(kindHave, 0, 0, 0, 1, 7)), "in an answer"},
		"no hash":                  {say(hi, have(1)), "in an answer"},
		"done before the start":    {say(hi, frame(kindDone)), "in an answer"},
		"an offer of its own":      {say(hi, entry("x", 1)), "in an answer"},
		"a text for terminals":     {say(hi, frame(kindStop, append([]byte{byte(Impossible)}, "\x1b[31mred"...)...)), "ended the transfer: [31mred"},
		"more than there is":       {say(hi, frame(kindGo), frame(kindArrived, 1, 0, 0, 0, 0, 0, 0, 0)), "bytes have arrived, of"},
		"half a number":            {say(hi, frame(kindArrived, 0)), "1 bytes for a number"},
		"no reason":                {say(hi, frame(kindStop)), "without a reason"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Sender{Source: src}.Send(t.Context(), script{Reader: bytes.NewReader(c.says)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}

// TestReceiverEndsEarly says that all has come when it has not, while the sender
// can't get rid of its data: it neither believes that nor hangs.
func TestReceiverEndsEarly(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x")
	write(t, from, make([]byte, 64*Block))
	for name, says := range map[string][]byte{
		"done": frame(kindDone), "stop": frame(kindStop, byte(Paused)), "nonsense": frame(kindFile, make([]byte, 12)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			done := make(chan error, 1)
			go func() { done <- Sender{Source: scan(t, from)}.Send(t.Context(), a) }()
			_, _ = b.Write(say(frame(kindHello, []byte(hello)...), frame(kindGo)))
			_, _ = io.CopyN(io.Discard, b, 1000)
			_, _ = b.Write(says) // and from now on it reads nothing
			select {
			case err := <-done:
				var stop *StopError
				var rules *ProtocolError
				if !errors.As(err, &stop) && !errors.As(err, &rules) {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("the sender hangs")
			}
		})
	}
}

// TestScanRefuses has files that can't be sent.
func TestScanRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a\nb"), nil)
	var name *NameError
	if _, err := Scan(t.Context(), []string{dir}); !errors.As(err, &name) {
		t.Error(err)
	}
	if _, err := Scan(t.Context(), []string{"/"}); err == nil {
		t.Error("a whole disk passes")
	}
	one, two := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	write(t, one, nil)
	write(t, two, nil)
	if _, err := Scan(t.Context(), []string{one, two}); !errors.As(err, &name) {
		t.Error(err)
	}
}
