//go:build unix

package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/program"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// patience is after what time a test gives up waiting for something. Nothing is
// expected to be as slow, whatever else the machine does.
const patience = time.Minute

func TestMain(m *testing.M) {
	natlab.Main()
	testscript.Main(tests{m}, map[string]func(){"sallyport": main, "echoservice": echoService, "echoclient": echoClient})
}

// tests are what is run where this binary is not one of the commands.
type tests struct{ *testing.M }

func (t tests) Run() int {
	natlabtest.SideBySide(5)
	return t.M.Run()
}

// TestScripts runs one script per behaviour. Each has a broker and a STUN
// server of its own on loopback, and a home whose configuration names them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setUp,
		Condition: func(cond string) (bool, error) {
			if cond == "lab" {
				return natlab.Available() == nil, nil
			}
			if cond == "tmpfs" {
				return unsharing().Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": startCmd, "await": awaitCmd, "signal": signalCmd, "ended": endedCmd,
			"feed": feedCmd, "hangup": hangUpCmd, "status": statusCmd, "gone": goneCmd,
			"certificate": certificateCmd, "activate": activateCmd, "get": getCmd, "spy": spyCmd, "converse": converseCmd, "parallel": parallelCmd,
			"hold": holdCmd, "broken": brokenCmd, "closed": closedCmd, "website": websiteCmd, "getvia": getViaCmd,
			"occupy": occupyCmd, "grown": grownCmd, "random": randomCmd, "until": untilCmd,
		},
	})
}

// unsharing mounts a small disk where nobody else sees it, as a script does that
// fills it up.
func unsharing() *exec.Cmd {
	args := []string{"-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/tmp"}
	if os.Getuid() != 0 {
		args = append([]string{"-r"}, args...)
	}
	return exec.Command("unshare", args...)
}

// occupy ADDR: have a TCP port taken until the script ends, by us or by others.
func occupyCmd(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", args[0])
	if errors.Is(err, syscall.EADDRINUSE) {
		return
	}
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// running are a script's background commands, by name.
type running map[string]*background

type background struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{}
}

// kill ends it, and what it has started: a shell's command would outlive it.
func (b *background) kill() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.done
}

func setUp(env *testscript.Env) error {
	s, err := serve.Start(serve.Config{Listen: []string{"127.0.0.1"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	env.Defer(s.Close)
	service, err := startService()
	if err != nil {
		return err
	}
	env.Defer(func() { service.Close() })
	all := running{}
	env.Values["running"] = all
	env.Values["held"] = kept{}
	env.Defer(env.Values["held"].(kept).close)
	env.Values["activated"] = activated{}
	env.Defer(env.Values["activated"].(activated).close)
	env.Defer(func() {
		for _, b := range all {
			b.kill()
		}
	})
	env.Defer(func() { // a node in the background that a script has not ended
		lock := filepath.Join(env.WorkDir, "state", "sallyport", "node.lock")
		if isUp(upFiles{lock: lock, socket: filepath.Join(env.WorkDir, "no.sock")}) {
			_ = syscall.Kill(lockedBy(lock), syscall.SIGKILL)
		}
	})
	at := s.Places()
	env.Setenv("BROKER", at.Brokers[0])
	env.Setenv("STUN", at.STUN[0])
	env.Setenv("PORT", freePort())
	env.Setenv("PORT2", freePort())
	size := transferBytes()
	env.Setenv("BYTES", strconv.FormatInt(size, 10))
	env.Setenv("HALF", strconv.FormatInt(size/3, 10))
	env.Setenv("LIMIT", strconv.FormatInt(size/4, 10))
	env.Setenv("SERVICE", service.Addr().String())
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
	env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
	dir := filepath.Join(env.WorkDir, "config", "sallyport")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config := fmt.Sprintf("broker = [%q]\nstun = [%q, %q]\ninterface = [%q]\nno-lan = true\n", at.Brokers[0], at.STUN[0], at.STUN[1], loopbackName())
	return os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o600)
}

// transferBytes is how much goes through the laboratory: 8 MiB, or what the
// environment says, as SALLYPORT_TEST_BYTES=104857600.
func transferBytes() int64 {
	n, err := strconv.ParseInt(os.Getenv("SALLYPORT_TEST_BYTES"), 10, 64)
	if err != nil || n < 1<<20 {
		return 8 << 20
	}
	return n
}

// ports counts through a range that the kernel gives to nobody by itself.
var ports atomic.Uint32

// claims is a file with a byte for each of these ports, which other processes that run
// these tests lock as well.
var claims = sync.OnceValues(func() (*os.File, error) {
	name := fmt.Sprintf("sallyport-test-ports-%d", os.Getuid())
	return os.OpenFile(filepath.Join(os.TempDir(), name), os.O_CREATE|os.O_RDWR, 0o600)
})

// freePort gives a port that nobody listens on, and no other test gets until this
// process ends, in another process neither.
func freePort() string {
	f, err := claims()
	if err != nil {
		panic(err)
	}
	for {
		n := (os.Getpid()*131 + int(ports.Add(1))) % 10000
		claim := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(n), Len: 1}
		if unix.FcntlFlock(f.Fd(), unix.F_SETLK, &claim) != nil {
			continue
		}
		port := strconv.Itoa(20000 + n)
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
}

// startService runs a TCP service that answers when the client has ended, so
// that only half-closed connections get anything out of it.
func startService() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				text, err := io.ReadAll(c)
				if err == nil {
					fmt.Fprintf(c, "the service has read %d bytes\n", len(text))
				}
			}()
		}
	}()
	return l, nil
}

// start [-open] NAME COMMAND…: run in the background, with output in NAME.out
// and NAME.err. With -open, standard input stays open until hangup.
func startCmd(ts *testscript.TestScript, neg bool, args []string) {
	open := len(args) > 0 && args[0] == "-open"
	if open {
		args = args[1:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start [-open] NAME COMMAND…")
	}
	startIt(ts, args[0], open, command(ts, args[1:]))
}

// command prepares one to run in the script's directory and environment.
func command(ts *testscript.TestScript, words []string) *exec.Cmd {
	path, err := exec.LookPath(words[0])
	ts.Check(err)
	c := exec.Command(path, words[1:]...)
	c.Args[0] = words[0]
	c.Dir = ts.MkAbs(".")
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "SALLYPORT_CLOCK_OFFSET", "SSL_CERT_FILE", "WORK", "HOME", "TMPDIR", "GOCOVERDIR"} {
		if v := ts.Getenv(name); v != "" {
			c.Env = append(c.Env, name+"="+v)
		}
	}
	return c
}

// startIt runs c in the background, by that name.
func startIt(ts *testscript.TestScript, name string, open bool, c *exec.Cmd) {
	b := &background{cmd: c, done: make(chan struct{})}
	var err error
	if open {
		b.in, err = c.StdinPipe()
		ts.Check(err)
	}
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	c.Stdout, c.Stderr = out, errs
	program.Apart(c)
	all := ts.Value("running").(running)
	if before := all[name]; before != nil {
		before.kill()
	}
	ts.Check(c.Start())
	out.Close()
	errs.Close()
	go func() {
		_ = c.Wait()
		close(b.done)
	}()
	all[name] = b
}

func find(ts *testscript.TestScript, name string) *background {
	b := ts.Value("running").(running)[name]
	if b == nil {
		ts.Fatalf("nothing was started as %q", name)
	}
	return b
}

// await FILE REGEXP [VARIABLE]: wait until the file matches, and keep the first
// group.
func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE REGEXP [VARIABLE]")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	waitFor(ts, func() bool {
		text, _ = os.ReadFile(ts.MkAbs(args[0]))
		// A line that is still being written is not there yet.
		return re.Match(text[:bytes.LastIndexByte(text, '\n')+1])
	}, func() string { return fmt.Sprintf("%s does not match %q:\n%s", args[0], args[1], text) })
	if len(args) == 3 {
		m := re.FindSubmatch(text)
		ts.Setenv(args[2], string(m[1]))
	}
}

// gone FILE: wait until the processes whose ids the file has are no more.
func goneCmd(ts *testscript.TestScript, neg bool, args []string) {
	for _, text := range strings.Fields(ts.ReadFile(args[0])) {
		pid, err := strconv.Atoi(text)
		ts.Check(err)
		waitFor(ts, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) },
			func() string { return fmt.Sprintf("process %d still runs", pid) })
	}
}

// grown FILE BYTES: wait until the file has so many.
func grownCmd(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	waitFor(ts, func() bool {
		info, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil && info.Size() >= want
	}, func() string { return fmt.Sprintf("%s does not have %d bytes", args[0], want) })
}

// random FILE BYTES: make a file of so many random bytes.
func randomCmd(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(f, rand.Reader, n)
	ts.Check(err)
	ts.Check(f.Close())
}

// until REGEXP COMMAND…: run it, again and again, until its standard output matches,
// whatever its status.
func untilCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND…")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var text []byte
	waitFor(ts, func() bool {
		text, _ = command(ts, args[1:]).Output()
		return re.Match(text)
	}, func() string { return fmt.Sprintf("%q says nothing that matches %q:\n%s", args[1:], args[0], text) })
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
}

func waitFor(ts *testscript.TestScript, done func() bool, what func() string) {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s", what())
		}
	}
}

// signals that a script may send, by name.
var signals = map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}

// signal NAME INT|TERM|HUP|KILL
func signalCmd(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(find(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ended NAME STATUS: wait until it ends, with that status.
func endedCmd(ts *testscript.TestScript, neg bool, args []string) {
	b := find(ts, args[0])
	select {
	case <-b.done:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended; its errors:\n%s", args[0], ts.ReadFile(args[0]+".err"))
	}
	if got := strconv.Itoa(b.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with status %s, not %s; its errors:\n%s", args[0], got, args[1], ts.ReadFile(args[0]+".err"))
	}
}

// feed NAME WORD…: write a line to its standard input.
func feedCmd(ts *testscript.TestScript, neg bool, args []string) {
	_, err := io.WriteString(find(ts, args[0]).in, strings.Join(args[1:], " ")+"\n")
	ts.Check(err)
}

// hangup NAME: end its standard input.
func hangUpCmd(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(find(ts, args[0]).in.Close())
}

// status N COMMAND…: run it, and expect that exit status.
func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("status %d, not %s", got, args[0])
	}
}
