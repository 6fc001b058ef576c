//go:build unix

package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/stage"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// BenchmarkSend sends a file of 1 GiB over loopback; docs/transfer.md has the
// figures. ms is the time from the start of "sallyport send" to its code and from
// the start of "sallyport receive" to the end of both, cpu-ms the processor's time
// of both, and cp-ms what "cp" takes for the same file in the same folder:
//
//	go test ./cmd/sallyport -run '^$' -bench 'Send$' -benchtime 3x
func BenchmarkSend(b *testing.B) {
	s := startServe(b, serve.Config{}).Places()
	f := newFreight(b, func(name string, args ...string) (*exec.Cmd, stage.Runner) {
		c := exec.Command(name, args...)
		return c, c
	})
	ours := sallyportCourier(b, s)
	var took, busy, copying []time.Duration
	for b.Loop() {
		begun := time.Now()
		_, copies := f.command("cp", "big", "copy")
		if err := toEnd(copies); err != nil {
			b.Fatal(err)
		}
		copying = append(copying, time.Since(begun))
		_ = os.Remove(filepath.Join(f.dir, "copy"))
		t, cpu := f.carry(ours)
		took, busy = append(took, t), append(busy, cpu)
	}
	b.ReportMetric(milliseconds(middleOf(took)), "ms")
	b.ReportMetric(milliseconds(middleOf(busy)), "cpu-ms")
	b.ReportMetric(milliseconds(middleOf(copying)), "cp-ms")
	b.ReportMetric(0, "ns/op") // which has the checks in it, too
}

// BenchmarkSendBesideCroc does the same with croc in turns, on one host of the
// laboratory, so that croc's look-ups and beacons lead nowhere. It has a relay of
// its own there; the file goes through that, which with croc is as fast as without.
// croc is the program that CROC names, or that is found by its name:
//
//	CROC=/usr/bin/croc go test ./cmd/sallyport -run '^$' -bench SendBesideCroc -benchtime 5x
//
// of-croc is the median of the rounds' ratios.
func BenchmarkSendBesideCroc(b *testing.B) {
	program := os.Getenv("CROC")
	if program == "" {
		program = "croc"
	}
	program, err := exec.LookPath(program)
	if err != nil {
		b.Skipf("no croc: %v", err)
	}
	lab := natlabtest.New(b, natlab.Config{})
	host := natlabtest.Host(b, lab, natlab.HostConfig{})
	var s serve.Places
	if err := host.Do(func() error {
		s = startServe(b, serve.Config{}).Places()
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	f := newFreight(b, func(name string, args ...string) (*exec.Cmd, stage.Runner) {
		c := host.Command(context.Background(), name, args...)
		return c.Cmd, c
	})
	relay, run := f.command(program, "relay", "--host", "127.0.0.1", "--ports", "9009,9010,9011,9012,9013")
	relay.Stderr = nil
	if err := run.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = relay.Process.Kill(); _ = run.Wait() }()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := host.Dial(b.Context(), nil, "tcp", "127.0.0.1:9009")
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(until) {
			b.Fatal(err)
		}
	}
	common := []string{program, "--yes", "--ignore-stdin", "--disable-clipboard", "--no-compress", "--relay6", ""}
	croc := courier{
		send:    append(slices.Clone(common), "--relay", "127.0.0.1:9009", "send", "--no-local", "big"),
		shows:   "Code is: ",
		receive: append(slices.Clone(common), "--overwrite", "--ip", "127.0.0.1:9009", "--out", "inbox"),
		secret:  "CROC_SECRET",
	}
	ours := sallyportCourier(b, s)
	var us, them, usCPU, themCPU []time.Duration
	var ratios []float64
	for b.Loop() {
		t, cpu := f.carry(ours)
		us, usCPU = append(us, t), append(usCPU, cpu)
		t, cpu = f.carry(croc)
		them, themCPU = append(them, t), append(themCPU, cpu)
		ratios = append(ratios, float64(us[len(us)-1])/float64(t))
	}
	b.ReportMetric(milliseconds(middleOf(us)), "ms")
	b.ReportMetric(milliseconds(middleOf(usCPU)), "cpu-ms")
	b.ReportMetric(milliseconds(middleOf(them)), "croc-ms")
	b.ReportMetric(milliseconds(middleOf(themCPU)), "croc-cpu-ms") // its relay's is left out
	ratio := middleOf(ratios)
	b.ReportMetric(ratio, "of-croc")
	b.ReportMetric(0, "ns/op")
	if ratio > 1 {
		b.Errorf("1 GiB takes %.2f of croc's time", ratio)
	}
}

// freightSize is how large the file is.
const freightSize = 1 << 30

// freight is a file that is sent from one folder to another of the same machine.
type freight struct {
	b   *testing.B
	dir string
	on  func(name string, args ...string) (*exec.Cmd, stage.Runner) // a machine
}

func newFreight(b *testing.B, on func(string, ...string) (*exec.Cmd, stage.Runner)) *freight {
	f := &freight{b, b.TempDir(), on}
	file, err := os.Create(filepath.Join(f.dir, "big"))
	if err == nil {
		_, err = io.CopyN(file, rand.Reader, freightSize)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// command prepares a program to run in the folder, which is its home, too.
func (f *freight) command(name string, args ...string) (*exec.Cmd, stage.Runner) {
	c, run := f.on(name, args...)
	c.Dir, c.Stderr = f.dir, os.Stderr
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+f.dir, "XDG_STATE_HOME="+f.dir, "HOME="+f.dir)
	return c, run
}

// courier is a program that sends files by a code.
type courier struct {
	send    []string // the command, which shows the code
	shows   string   // before the code, on its line
	receive []string // the command for the other side; it gets the code as well
	secret  string   // by this variable, or as the last word
}

func sallyportCourier(b *testing.B, s serve.Places) courier {
	program, err := exec.LookPath("sallyport") // of testscript
	if err != nil {
		b.Fatal(err)
	}
	shared := []string{"--quiet", "--broker", s.Brokers[0], "--stun", s.STUN[0], "--interface", loopbackName(), "--no-lan"}
	return courier{
		send:    append([]string{program, "send", "--new", "big"}, shared...),
		shows:   "Code: ",
		receive: append([]string{program, "receive", "--yes", "-o", "inbox"}, shared...),
	}
}

// handOver is how long the code takes from one person to the other, about. It
// does not count.
const handOver = time.Second

// carry has a courier bring the file into the inbox. It gives the time that a
// person waits, and that of the processor for both ends.
func (f *freight) carry(by courier) (took, busy time.Duration) {
	f.b.Helper()
	must := func(err error) {
		f.b.Helper()
		if err != nil {
			f.b.Fatalf("%s: %v", by.send[0], err)
		}
	}
	defer os.RemoveAll(filepath.Join(f.dir, "inbox"))
	must(os.Mkdir(filepath.Join(f.dir, "inbox"), 0o777))
	send, sending := f.command(by.send[0], by.send[1:]...)
	said, out, err := os.Pipe()
	must(err)
	defer said.Close()
	send.Stdout, send.Stderr = out, out
	begun := time.Now()
	must(sending.Start())
	out.Close()
	var code string
	lines := bufio.NewReader(said)
	for code == "" {
		line, err := lines.ReadString('\n')
		must(err)
		if _, after, found := strings.Cut(line, by.shows); found {
			code = strings.TrimSpace(after)
		}
	}
	took = time.Since(begun)
	rest := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(lines); rest <- b }()
	time.Sleep(handOver)
	words := by.receive
	if by.secret == "" {
		words = append(slices.Clone(words), code)
	}
	receive, receiving := f.command(words[0], words[1:]...)
	if by.secret != "" {
		receive.Env = append(receive.Env, by.secret+"="+code)
		receive.Stderr = nil // it draws a bar
	}
	begun = time.Now()
	must(toEnd(receiving))
	err = sending.Wait()
	took += time.Since(begun)
	if text := <-rest; err != nil {
		f.b.Fatalf("%s: %v\n%s", by.send[0], err, text)
	}
	_, comparing := f.command("cmp", "big", "inbox/big")
	must(toEnd(comparing))
	for _, c := range []*exec.Cmd{send, receive} {
		busy += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	return took, busy
}

// toEnd runs a command.
func toEnd(run stage.Runner) error {
	if err := run.Start(); err != nil {
		return err
	}
	return run.Wait()
}

func middleOf[T cmp.Ordered](each []T) T {
	return slices.Sorted(slices.Values(each))[len(each)/2]
}
