package address

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestKeyFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "key")
	key, created, err := LoadOrCreateKey(path)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%s\n# node id: %s\n%x\n", keyFileAdvice, key.Public(), key.Bytes()); string(text) != want {
		t.Errorf("the file has\n%s, not\n%s", text, want)
	}
	again, created, err := LoadOrCreateKey(path)
	if err != nil || created || again.Public() != key.Public() || !bytes.Equal(again.Bytes(), key.Bytes()) {
		t.Errorf("the second time it gives %v, created %v, %v", again, created, err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("the directory has %v, %v", list, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, not %v", p, info.Mode().Perm(), err, want)
		}
	}
}

func TestKeyFileOfAPerson(t *testing.T) {
	for name, text := range map[string]string{
		"bare":     strings.Repeat("0", 63) + "1",
		"comments": "# mine\r\n\r\n  " + strings.Repeat("0", 63) + "1  \r\n# end\r\n",
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := LoadKey(path); err != nil || key.Public() != testKey(1) {
			t.Errorf("%s: read as %v, %v", name, key, err)
		}
	}
}

func TestKeyFileThatIsNone(t *testing.T) {
	secret := strings.Repeat("0", 60) + "beef"
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "there is no key in it"},
		"comments only": {"# a\n", "there is no key in it"},
		"short":         {secret[1:], "line 1 is not 64 hex digits"},
		"short by two":  {secret[2:], "line 1: a private key has 32 bytes, not 31"},
		"no hex":        {"# c\n" + secret[1:] + "g", "line 2 is not 64 hex digits"},
		"two keys":      {secret + "\n" + secret, "line 2 is one too many"},
		"zero":          {strings.Repeat("0", 64), "line 1: not a private key"},
		"another's id":  {"# node id: " + testKey(1).String() + "\n" + secret, "its key belongs to node id"},
		"too long":      {strings.Repeat("#", maxStateFile+1), "more than 4096 bytes"},
		"binary":        {"\x7fELF\x00\x01", "not 64 hex digits"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			key, created, err := LoadOrCreateKey(path)
			if err == nil || created || !key.IsZero() || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("gives %v, created %v, %v, which lacks %q", key, created, err, c.want)
			}
			if strings.Contains(err.Error(), "beef") {
				t.Errorf("the message has the secret: %v", err)
			}
			if name != "too long" && !strings.Contains(err.Error(), "restore it from a copy") {
				t.Errorf("no hint: %v", err)
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != c.text {
				t.Errorf("the file is now %q, %v", text, err)
			}
		})
	}
}

func TestKeyFileThatOthersMayUse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := filepath.Join(t.TempDir(), "key")
	if _, _, err := LoadOrCreateKey(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, created, err := LoadOrCreateKey(path); err != nil || created {
			t.Errorf("mode %v: created %v, %v", mode, created, err)
		}
	}
}

func TestKeyFileThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := LoadOrCreateKey(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, created, err := LoadOrCreateKey(filepath.Join(blocked, "key")); err == nil || created {
		t.Errorf("below a file: created %v, %v", created, err)
	}
	if _, err := LoadKey(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	loose := filepath.Join(dir, "loose")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), loose); err != nil {
		t.Skip(err)
	}
	if key, created, err := LoadOrCreateKey(loose); err == nil || created {
		t.Errorf("a loose link: %v, created %v", key, created)
	}
}

// TestKeyFileRace lets many processes create one key file at once. All must
// come out with one key, and one of them as its creator.
func TestKeyFileRace(t *testing.T) {
	if path := os.Getenv("SALLYPORT_TEST_KEYFILE"); path != "" {
		key, created, err := LoadOrCreateKey(path)
		fmt.Println("result", created, key.Public(), err)
		return
	}
	path := filepath.Join(t.TempDir(), "state", "key")
	const processes, goroutines = 4, 8
	var wg sync.WaitGroup
	results := make(chan string, processes+goroutines)
	for range processes {
		wg.Go(func() {
			c := exec.Command(os.Args[0], "-test.run=^TestKeyFileRace$")
			c.Env = append(os.Environ(), "SALLYPORT_TEST_KEYFILE="+path)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Error(err)
			}
			_, line, _ := strings.Cut(string(out), "result ")
			line, _, _ = strings.Cut(line, "\n")
			results <- line
		})
	}
	for range goroutines {
		wg.Go(func() {
			key, created, err := LoadOrCreateKey(path)
			results <- fmt.Sprint(created, " ", key.Public(), " ", err)
		})
	}
	wg.Wait()
	close(results)
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	creators := 0
	for r := range results {
		switch r {
		case fmt.Sprint(true, " ", key.Public(), " <nil>"):
			creators++
		case fmt.Sprint(false, " ", key.Public(), " <nil>"):
		default:
			t.Errorf("one got %q, and the file has %v", r, key.Public())
		}
	}
	if creators != 1 {
		t.Errorf("%d created it", creators)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("the directory has %v, %v", list, err)
	}
}

// TestCreateFileWithoutLinks is a file system that has no hard links.
func TestCreateFileWithoutLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	noLinks := func(from, to string) error {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.ErrUnsupported}
	}
	if err := createFile(path, []byte("first"), noLinks); err != nil {
		t.Fatal(err)
	}
	if err := createFile(path, []byte("second"), noLinks); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second time: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "first" {
		t.Errorf("the file has %q, %v", text, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("the directory has %v, %v", list, err)
	}
}

func TestMachineIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "machine-id")
	id, err := LoadOrCreateMachineID(path)
	if err != nil || len(id) != 8 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Fatalf("made %q, %v", id, err)
	}
	if again, err := LoadOrCreateMachineID(path); err != nil || again != id {
		t.Errorf("the second time it is %q, %v", again, err)
	}
	if other := NewMachineID(); other == id || len(other) != 8 {
		t.Errorf("a new one is %q after %q", other, id)
	}
	for text, want := range map[string]string{
		"attic_1\n": "attic_1", "": "", "two words": "", "a-b": "", strings.Repeat("x", 65): "", strings.Repeat("x", 5000): "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadOrCreateMachineID(path); got != want || (err == nil) != (want != "") {
			t.Errorf("%.70q is read as %q, %v", text, got, err)
		}
	}
}
