//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
)

// household is a node in the background, a peer that sends everything back, and
// a broker and a STUN server for them.
type household struct {
	t    *testing.T
	env  []string
	dir  string
	up   upEvent
	peer string // its address
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	s := startServe(t, serve.Config{}).Places()
	h := &household{t: t, dir: t.TempDir()}
	h.env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(h.dir, "config"), "XDG_STATE_HOME="+filepath.Join(h.dir, "state"))
	config := fmt.Sprintf("broker = [%q]\nstun = [%q, %q]\ninterface = [%q]\nno-lan = true\n", s.Brokers[0], s.STUN[0], s.STUN[1], loopbackName())
	if err := os.MkdirAll(filepath.Join(h.dir, "config", "sallyport"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "config", "sallyport", "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	peer := h.command(ctx, "node", "--echo", "--json", "--key", filepath.Join(h.dir, "peer.key"))
	out, err := peer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = peer.Wait() })
	var ready addressEvent
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	h.peer = ready.Compact
	t.Cleanup(func() {
		if out, err := h.command(context.Background(), "down").CombinedOutput(); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
	})
	text, err := h.command(ctx, "up", "--json", "--open", "--listen", "127.0.0.1:"+freePort()).Output()
	if err != nil {
		t.Fatalf("up: %v: %s", err, text)
	}
	if err := json.Unmarshal(text, &h.up); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return h
}

// command is one of ours, in that home.
func (h *household) command(ctx context.Context, args ...string) *exec.Cmd {
	path, err := exec.LookPath("sallyport") // testscript has put it there
	if err != nil {
		h.t.Fatal(err)
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Env = h.env
	return c
}

// TestAPIExamples runs what docs/api.md shows.
func TestAPIExamples(t *testing.T) {
	guide, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHousehold(t)
	for _, c := range []struct {
		language, program, file string
		want                    []string
	}{
		{"sh", "curl", "example.sh", []string{`{"version":"`, `"name":"friend"`, `{"sent":15}`, "hello from curl"}},
		{"python", "python3", "example.py", []string{"connected by ", "\nhello from python\n"}},
		{"js", "node", "example.mjs", []string{"hello from javascript\n", "\ncall ", "\nopened ", "\nended "}},
	} {
		t.Run(c.language, func(t *testing.T) {
			program, err := exec.LookPath(c.program)
			if err != nil {
				t.Skipf("%s is missing", c.program)
			}
			block := regexp.MustCompile("(?s)```" + c.language + "\n(.*?)```").FindSubmatch(guide)
			if block == nil {
				t.Fatalf("there is no example in %s", c.language)
			}
			file := filepath.Join(h.dir, c.file)
			if err := os.WriteFile(file, block[1], 0o600); err != nil {
				t.Fatal(err)
			}
			if c.language == "sh" {
				if program, err = exec.LookPath("sh"); err != nil {
					t.Skip("sh is missing")
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			example := exec.CommandContext(ctx, program, file)
			if c.language == "sh" {
				example.Args = []string{"sh", "-e", file}
			}
			example.Env = append(h.env, "PEER="+h.peer, "SALLYPORT_URL="+h.up.URL)
			var out, errs bytes.Buffer
			example.Stdout, example.Stderr = &out, &errs
			if err := example.Run(); err != nil {
				t.Fatalf("%v\n%s%s", err, out.Bytes(), errs.Bytes())
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, out.Bytes())
				}
			}
		})
	}
}
