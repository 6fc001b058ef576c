package memory

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "networks.json")
	m, err := Load(noon, path)
	if err != nil || m.Len() != 0 {
		t.Fatalf("no file: %d pairs, %v", m.Len(), err)
	}
	m.Learn(noon, here, &anew, timed, direct)
	if err := m.Save(noon, path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
	back, err := Load(noon, path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(back.file()), fmt.Sprint(m.file()); got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if late, err := Load(noon.Add(Lasts+time.Hour), path); err != nil || late.Len() != 0 {
		t.Errorf("%d pairs after a long time, %v", late.Len(), err)
	}
	if early, err := Load(noon.Add(-48*time.Hour), path); err != nil || early.Len() != 0 {
		t.Errorf("%d pairs out of the future, %v", early.Len(), err)
	}
}

// Processes that share a directory do not lose what the others have learned.
func TestFileIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.json")
	a, b := &Memory{}, &Memory{}
	a.Learn(noon, Pair{1}, &direct)
	b.Learn(noon, Pair{2}, &timed)
	a.Learn(noon, Pair{3}, &direct)
	b.Learn(noon.Add(time.Minute), Pair{3}, &timed, direct)
	for _, m := range []*Memory{a, b, a} {
		if err := m.Save(noon.Add(time.Minute), path); err != nil {
			t.Fatal(err)
		}
	}
	for n, m := range []*Memory{a, b} {
		if m.Len() != 3 {
			t.Errorf("%d pairs", m.Len())
		}
		if got := m.Advise(noon, Pair{3}); got.Works(direct) || !got.Works(timed) {
			t.Errorf("memory %d: the older of two records was kept", n)
		}
	}
	var savers sync.WaitGroup
	for k := range 8 {
		savers.Go(func() {
			m := &Memory{}
			m.Learn(noon, Pair{byte(10 + k)}, &direct)
			if err := m.Save(noon, path); err != nil {
				t.Error(err)
			}
		})
	}
	savers.Wait()
	if _, err := Load(noon, path); err != nil {
		t.Errorf("after many writers at once: %v", err)
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	ok := `{"version":1,"pairs":[{"pair":"01000000000000000000000000000000","ways":[%s]}]}`
	for name, text := range map[string]string{
		"empty":            ``,
		"cut":              `{"version":1,"pairs":[{"pair":"0100`,
		"no JSON":          "\x00\xff",
		"newer version":    `{"version":2}`,
		"no version":       `{}`,
		"short pair":       `{"version":1,"pairs":[{"pair":"01","ways":[]}]}`,
		"long pair":        `{"version":1,"pairs":[{"pair":"0100000000000000000000000000000000","ways":[]}]}`,
		"pair not hex":     `{"version":1,"pairs":[{"pair":"zz000000000000000000000000000000","ways":[]}]}`,
		"strategy":         fmt.Sprintf(ok, `{"strategy":"../x","worked":1,"last_worked":1}`),
		"no strategy":      fmt.Sprintf(ok, `{"worked":1,"last_worked":1}`),
		"negative":         fmt.Sprintf(ok, `{"strategy":"direct","worked":-1,"last_worked":1}`),
		"huge":             fmt.Sprintf(ok, `{"strategy":"direct","worked":1000000000,"last_worked":1}`),
		"never worked":     fmt.Sprintf(ok, `{"strategy":"direct","worked":1}`),
		"worked, no count": fmt.Sprintf(ok, `{"strategy":"direct","last_worked":1}`),
		"never failed":     fmt.Sprintf(ok, `{"strategy":"direct","failed":1}`),
		"too many ways":    fmt.Sprintf(ok, strings.Repeat(`{},`, MaxWays)+`{}`),
		"too large":        `{"version":1}` + strings.Repeat(" ", maxFile),
	} {
		path := filepath.Join(t.TempDir(), "networks.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Load(noon, path)
		if err == nil || !strings.Contains(err.Error(), "set aside") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := os.ReadFile(path + ".damaged"); err != nil || string(got) != text {
			t.Errorf("%s: not set aside: %v", name, err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: still there: %v", name, err)
		}
		m.Learn(noon, here, &direct)
		if err := m.Save(noon, path); err != nil {
			t.Errorf("%s: can't begin anew: %v", name, err)
		}
	}
}

func TestUnreadableFileStays(t *testing.T) {
	dir := t.TempDir() // no file, so that it can't be read
	m, err := Load(noon, dir)
	if err == nil || m == nil {
		t.Errorf("memory %v, error %v", m, err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("set aside, though it is not known to be damaged: %v", err)
	}
	if err := (&Memory{}).Save(noon, filepath.Join(dir, "none", strings.Repeat("x", 300))); err == nil {
		t.Error("saved under an impossible name")
	}
	if err := (&Memory{}).Save(noon, "/proc/networks.json"); err == nil {
		t.Error("saved in /proc")
	}
	left, _ := fs.Glob(os.DirFS(dir), "none/*")
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzParse(f *testing.F) {
	var m Memory
	m.Learn(noon, here, &anew, timed, direct)
	m.Learn(noon, Pair{2}, nil, direct)
	seed, err := json.Marshal(m.file())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":1,"pairs":[{"pair":"01000000000000000000000000000000","ways":[{"strategy":"direct","worked":1,"last_worked":1777636800,"later":[]}]}],"more":1}`))
	if got, err := Parse(noon, seed); err != nil || got.Len() != 2 {
		f.Fatalf("the seed has %d pairs, %v", got.Len(), err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(noon, b)
		if err != nil {
			return
		}
		if m.Len() > MaxPairs {
			t.Fatalf("%d pairs", m.Len())
		}
		text, err := json.Marshal(m.file())
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(noon, text)
		if err != nil {
			t.Fatalf("what was read can't be written and read: %v\n%s", err, text)
		}
		if got, want := fmt.Sprint(again.file()), fmt.Sprint(m.file()); got != want {
			t.Fatalf("read again:\n%s\nfirst:\n%s", got, want)
		}
	})
}
