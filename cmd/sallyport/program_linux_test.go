package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/stage"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// output is what a program has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for what matches, and gives the last group.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing matches %q:\n%s", pattern, o)
		}
	}
}

// lookPath finds one of this binary's programs, where testscript has put it.
func lookPath(t *testing.T, name string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// startProgram starts a command by run, in a home of its own, until the test ends, or
// cancel is called: then it is told to terminate.
func startProgram(t *testing.T, c *exec.Cmd, run stage.Runner, home string, cancel func()) *output {
	t.Helper()
	o := &output{}
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home, "HOME="+home)
	c.Stdout, c.Stderr = o, o
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = run.Wait() })
	return o
}

// stageRun runs one of this binary's programs on a host until the test ends.
func stageRun(t *testing.T, h *natlab.Host, home string, words ...string) (*output, *natlab.Cmd) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := h.Command(ctx, lookPath(t, words[0]), words[1:]...)
	return startProgram(t, c.Cmd, c, home, cancel), c
}
