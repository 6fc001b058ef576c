package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-net/sallyport/node/transfer"
)

// A sender does not wait in silence while a person at the other side thinks.
func TestSlowAnswerIsToldOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	source, err := transfer.Scan(context.Background(), []string{file})
	if err != nil {
		t.Fatal(err)
	}
	for thinking, want := range map[time.Duration]int{3 * time.Second: 0, 10 * time.Second: 1, 40 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				_, _ = transfer.Receiver{Root: root, Accept: func(context.Context, transfer.Offer) error {
					time.Sleep(thinking) // of the bubble's clock
					return &transfer.StopError{Reason: transfer.Declined}
				}}.Receive(t.Context(), there)
				there.Close()
			}()
			var said bytes.Buffer
			a := &app{err: &said}
			var progress transfer.Progress
			stop := a.showProgress(&progress, "waiting")
			_ = transfer.Sender{Source: source, Progress: &progress}.Send(t.Context(), here)
			stop()
			here.Close()
			<-answered
			if got := strings.Count(said.String(), "waiting\n"); got != want {
				t.Errorf("an answer after %v was told of %d times, not %d: %q", thinking, got, want, said.String())
			}
		})
	}
}

// What the system forbids is told without the names of its calls.
func TestFileTroubleIsPlain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := transfer.Scan(t.Context(), []string{file})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Remove(dir); err != nil {
		t.Skipf("this system keeps a folder that is open: %v", err)
	}
	here, there := net.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = transfer.Sender{Source: source}.Send(t.Context(), there)
		there.Close()
	}()
	_, err = transfer.Receiver{Root: root}.Receive(t.Context(), here)
	here.Close()
	<-sent
	f := (&move{}).explain(err)
	if want := `"file" can't be made there: no such file or directory`; f.what != want || f.status != statusFailed || f.hint == "" {
		t.Errorf("status %d, %q, hint %q; wanted %q", f.status, f.what, f.hint, want)
	}
}

// The bar has how much, how fast and how long still, and fits every terminal.
func TestProgressBar(t *testing.T) {
	now := time.Now()
	state := transfer.State{Stage: transfer.Moving, Bytes: 300e6, Size: 1e9, Here: 100e6, Files: 4, Count: 12, Name: "big"}
	for width, want := range map[int]string{
		200: "[############............................] 30%, 300 MB of 1 GB, file 5 of 12, 50 MB/s, 14s left",
		80:  "[######.................] 30%, 300 MB of 1 GB, file 5 of 12, 50 MB/s, 14s left",
		60:  "30%, 300 MB of 1 GB, file 5 of 12, 50 MB/s, 14s left",
		20:  "30%, 300 MB of 1 GB",
		0:   "30%, 300 MB of 1 GB, file 5 of 12, 50 MB/s, 14s left\n",
	} {
		var out bytes.Buffer
		g := &gauge{app: &app{err: &out}, terminal: width, begun: now.Add(-4 * time.Second), from: 100e6}
		g.show(state, now)
		got, redrawn := strings.CutPrefix(out.String(), "\r\x1b[K")
		if got != want || redrawn != (width > 0) || width > 0 && len(got) >= width {
			t.Errorf("%d columns: %q", width, out.String())
		}
	}
}

// A percentage is told only where it is known.
func TestStoppedAt(t *testing.T) {
	var progress transfer.Progress
	var said bytes.Buffer
	m := &move{app: &app{err: &said}, progress: &progress}
	m.tellStopped()
	if got, want := said.String(), "Stopped. To go on, run the same command again.\n"; got != want || m.done() != 0 {
		t.Errorf("%q, %d%%", got, m.done())
	}
}
