//go:build unix

package main

import (
	"bufio"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
)

// BenchmarkSend sends a file of 1 GiB over loopback, from the start of
// "sallyport receive" to the end of both commands; docs/transfer.md has the
// figures. cp-ms is what "cp" takes for the same file in the same folder:
//
//	go test ./cmd/sallyport -run '^$' -bench Send -benchtime 3x
func BenchmarkSend(b *testing.B) {
	program, err := exec.LookPath("sallyport") // of testscript
	if err != nil {
		b.Fatal(err)
	}
	s := startServe(b, serve.Config{}).Places()
	dir := b.TempDir()
	const size = 1 << 30
	f, err := os.Create(filepath.Join(dir, "big"))
	if err == nil {
		_, err = io.CopyN(f, rand.Reader, size)
	}
	if err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
	env := append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_STATE_HOME="+dir, "HOME="+dir)
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Dir, c.Env, c.Stderr = dir, env, os.Stderr
		return c
	}
	shared := []string{"--quiet", "--broker", s.Brokers[0], "--stun", s.STUN[0], "--interface", loopbackName(), "--no-lan"}
	var copying time.Duration
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		begun := time.Now()
		if err := run("cp", "big", "copy").Run(); err != nil {
			b.Fatal(err)
		}
		copying += time.Since(begun)
		_ = os.Remove(filepath.Join(dir, "copy"))
		sender := run(program, append([]string{"send", "--new", "big"}, shared...)...)
		out, err := sender.StdoutPipe()
		if err == nil {
			err = sender.Start()
		}
		if err != nil {
			b.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		code, ok := strings.CutPrefix(strings.TrimSpace(line), "Code: ")
		if err != nil || !ok {
			b.Fatalf("%q, %v", line, err)
		}
		b.StartTimer()
		receiver := run(program, append([]string{"receive", "--yes", "-o", "inbox", code}, shared...)...)
		if err := receiver.Run(); err != nil {
			b.Fatal(err)
		}
		if err := sender.Wait(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := run("cmp", "big", "inbox/big").Run(); err != nil {
			b.Fatal(err)
		}
		_ = os.RemoveAll(filepath.Join(dir, "inbox"))
		b.StartTimer()
	}
	b.ReportMetric(milliseconds(copying)/float64(b.N), "cp-ms")
}
