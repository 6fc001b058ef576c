package configfile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// keysOfAllKinds are a flag of every type that the commands have, and one that makes
// no sense in a file.
func keysOfAllKinds() Keys {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.Bool("echo", false, "send back what arrives")
	fs.Uint16("port", 0, "TCP port `N` to listen on")
	fs.Int("many", 3, "")
	fs.Int64("bytes", 1<<40, "")
	fs.Float64("rate", 20, "at most `N` a second")
	fs.Duration("timeout", 30*time.Second, "")
	fs.String("key", "", "`FILE` with a key")
	fs.StringSlice("broker", nil, "")
	fs.StringArray("relay", nil, "")
	fs.String("config", "", "")
	return Keys{Flags: fs, Except: []string{"config"}, Others: []string{"listen"}}
}

func TestKeysBecomeFlags(t *testing.T) {
	k := keysOfAllKinds()
	if err := k.Flags.Set("port", "7"); err != nil {
		t.Fatal(err)
	}
	text := "listen = \"of another command\"\nport = 8\necho = true\ntimeout = \"90s\"\nbroker = [\"0\", \"a,b\"]\nrelay = \"x,y\"\nrate = 1.5\n"
	if err := Apply("file", text, k); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	k.Flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			got[f.Name] = f.Value.String()
		}
	})
	want := map[string]string{"port": "7", "echo": "true", "timeout": "1m30s", "broker": `[0,"a,b"]`, "relay": `["x,y"]`, "rate": "1.5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadFilesAreToldByLine(t *testing.T) {
	for text, want := range map[string]string{
		"port = 1\nprot = 2\n":                   `file, line 2: there is no key "prot"`,
		"config = \"other\"":                     `file, line 1: there is no key "config"`,
		"a.b = 1":                                `file, line 1: there is no key "a.b"`,
		"port = [1, 2]":                          `file, line 1: "port" takes one value, not a list`,
		"key = 1979-05-27":                       `file, line 1: "key" takes a text, a number, true or false`,
		"\n" + strings.Repeat("a.", 600) + "= 1": "file, line 2: longer than 1024 bytes",
	} {
		err := Apply("file", text, keysOfAllKinds())
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		var bad *Error
		if !errors.As(err, &bad) {
			t.Errorf("%q: %#v", text, err)
			continue
		}
		key, known := bad.Unknown()
		if (key != "") != strings.Contains(want, "no key") {
			t.Errorf("%q: the key %q is unknown", text, key)
		} else if key != "" && (!slices.Contains(known, "listen") || slices.Contains(known, "config")) {
			t.Errorf("%q: known are %q", text, known)
		}
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := Read(path, keysOfAllKinds()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("#\n", maxConfig)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Read(path, keysOfAllKinds()); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("a large file: %v", err)
	}
}

// An example holds every key, sets only what was asked for, and can be read.
func TestExampleCanBeRead(t *testing.T) {
	k := keysOfAllKinds()
	for name, value := range map[string]string{"port": "7", "broker": "0,1", "key": "a \"b\"\n"} {
		if err := k.Flags.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	text := Example("sallyport", k.Flags, k.Except)
	for _, line := range []string{"# Configuration of sallyport. Flags of the same names win.", "# TCP port N to listen on", "port = 7", "#rate = 20", `#timeout = "30s"`, "#relay = []"} {
		if !strings.Contains(text, "\n"+line+"\n") && !strings.HasPrefix(text, line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	again := keysOfAllKinds()
	if err := Apply("example", text, again); err != nil {
		t.Fatal(err)
	}
	k.Flags.VisitAll(func(f *pflag.Flag) {
		if got := again.Flags.Lookup(f.Name); got.Changed != f.Changed || got.Value.String() != f.Value.String() {
			t.Errorf("%s is %v (%t), was %v (%t)", f.Name, got.Value, got.Changed, f.Value, f.Changed)
		}
	})
}

// Whatever a configuration file holds, it sets flags or is refused; and what it has
// set is the same after it was written and read again.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"port = 1", "broker = [\"0\", \"1\"]\n", "[x]\ny = 1\n", "relay = [[1]]", "echo = true", "timeout = 1979-05-27", "a.b = 1", "many = \"3\"", "rate = 1e3", "rate = nan", "rate = -inf", "key = \"a\\u0000\\u007f\"", "listen = 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k := keysOfAllKinds()
		if Apply("file", text, k) != nil {
			return
		}
		k.Flags.VisitAll(func(flag *pflag.Flag) {
			if _, err := json.Marshal(Value(flag)); err != nil {
				t.Errorf("%s: %v", flag.Name, err)
			}
			line := Line(flag)
			if !flag.Changed || len(line) > maxConfigLine {
				return
			}
			again := keysOfAllKinds()
			if err := Apply("again", line, again); err != nil {
				t.Errorf("%q: %v", line, err)
			} else if got := again.Flags.Lookup(flag.Name).Value.String(); got != flag.Value.String() {
				t.Errorf("%q is read as %q, was %q", line, got, flag.Value)
			}
		})
	})
}
