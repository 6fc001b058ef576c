package natlab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// part, in the environment, has the test binary play a part instead of testing.
const part = "NATLAB_TEST_PART"

// play runs the part that the environment asks for, if any.
func play() {
	if os.Getenv(part) != "lab" {
		return
	}
	// A lab with a command, that waits to be killed.
	l, err := New(Config{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	h, err := l.Host(HostConfig{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c := h.Command(context.Background(), "sleep", "1000")
	if err := c.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Process.Pid)
	c.Wait()
}

// watchProcess returns a function that waits for the end of the process.
func watchProcess(t *testing.T, pid int) (ended func() bool) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() bool {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
			if err != unix.EINTR {
				return err == nil && n == 1
			}
		}
	}
}

// However the lab's process ends, its commands end with it.
func TestDeath(t *testing.T) {
	need(t)
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			c := exec.Command("/proc/self/exe")
			c.Env = append(os.Environ(), part+"=lab")
			output, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(output).ReadString('\n')
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				c.Process.Kill()
				c.Wait()
				t.Fatalf("the lab says %q", line)
			}
			ended := watchProcess(t, pid)
			c.Process.Signal(s)
			if !ended() {
				t.Error("the command lives on")
			}
			c.Wait()
		})
	}
}

func TestCommand(t *testing.T) {
	l := newLab(t, Config{})
	h := newHost(t, l, HostConfig{Behind: newBox(t, l, NAT{})})
	c := h.Command(context.Background(), "cat", "/proc/self/net/fib_trie")
	out, err := c.Output()
	if err != nil || !strings.Contains(string(out), h.Addr().String()) {
		t.Errorf("%v: the command's addresses don't have %v:\n%s", err, h.Addr(), out)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("second Wait: %v", err)
	}
	out, err = h.Command(context.Background(), "sh", "-c", "echo out; echo err >&2; exit 3").CombinedOutput()
	var exit *exec.ExitError
	if string(out) != "out\nerr\n" || !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("%q, %v", out, err)
	}
	_, err = h.Command(context.Background(), "sh", "-c", "echo err >&2; exit 3").Output()
	if !errors.As(err, &exit) || string(exit.Stderr) != "err\n" {
		t.Errorf("standard error %q", exit.Stderr)
	}
	if err := h.Command(context.Background(), "/no/such/program").Run(); err == nil {
		t.Error("a program that is not there ran")
	}

	ctx, cancel := context.WithCancel(context.Background())
	c = h.Command(ctx, "sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Wait(); err == nil {
		t.Error("no error from a command whose context ended")
	}
}

// Close ends a command nobody waits for, and its descendants.
func TestCloseEndsCommands(t *testing.T) {
	l := newLab(t, Config{})
	h := newHost(t, l, HostConfig{})
	c := h.Command(context.Background(), "sh", "-c", "(setsid sleep 1000 & echo $!) ; exec sleep 1000")
	output, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(output).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the command says %q", line)
	}
	child, grandchild := watchProcess(t, c.Process.Pid), watchProcess(t, pid)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !child() || !grandchild() {
		t.Error("a process lives on")
	}
	if err := h.Command(context.Background(), "true").Run(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("command after Close: %v", err)
	}
	if _, err := h.ListenPacket("udp4", ":0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("socket after Close: %v", err)
	}
	if _, err := l.Host(HostConfig{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("host after Close: %v", err)
	}
	if _, err := l.NAT(NAT{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("nat after Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestDo(t *testing.T) {
	l := newLab(t, Config{})
	h1, h2 := newHost(t, l, HostConfig{}), newHost(t, l, HostConfig{})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here := func() string {
		s, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	start := here()
	err := h1.Do(func() error {
		first := here()
		return h2.Do(func() error {
			if second := here(); first == start || second == start || first == second {
				t.Errorf("namespaces %v, %v, %v", start, first, second)
			}
			return io.EOF
		})
	})
	if err != io.EOF || here() != start {
		t.Errorf("back with %v in %v, want %v", err, here(), start)
	}
	func() {
		defer func() { recover() }()
		h1.Do(func() error { panic("x") })
	}()
	if here() != start {
		t.Error("a panic leaves the thread in the namespace")
	}
	if _, err := h1.Dial(context.Background(), nil, "tcp", "localhost:80"); err == nil {
		t.Error("a name was dialled")
	}
}

// state counts what a lab takes from the process.
func state(t *testing.T) (fds, goroutines, children int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatal("no list of children", err)
	}
	for _, name := range lists {
		b, _ := os.ReadFile(name)
		children += len(strings.Fields(string(b)))
	}
	return len(entries), runtime.NumGoroutine(), children
}

func TestLeak(t *testing.T) {
	need(t)
	run := func() {
		l, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		server := newHost(t, l, HostConfig{Delay: time.Millisecond})
		for _, cfg := range []NAT{{}, {Kernel: true}, {Firewall: true}} {
			h := newHost(t, l, HostConfig{Behind: newBox(t, l, cfg)})
			roundTrip(t, h, server.Addr())
			if err := h.Command(context.Background(), "sleep", "1000").Start(); err != nil {
				t.Fatal(err)
			}
			if err := h.Command(context.Background(), "true").Run(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.NAT(NAT{Kernel: true, LAN: server.link.net.prefix, Externals: 2}); err == nil {
			t.Error("a bad NAT was made")
		}
	}
	run() // once, for what the runtime keeps
	fds, goroutines, children := state(t)
	for range 3 {
		run()
	}
	for limit := time.Now().Add(patience); ; runtime.Gosched() {
		f, g, c := state(t)
		if f == fds && g == goroutines && c == children {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d, %d, %d descriptors, goroutines, children became %d, %d, %d", fds, goroutines, children, f, g, c)
		}
	}
}

// Labs with the same addresses don't meet.
func TestManyLabs(t *testing.T) {
	need(t)
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			l, err := New(Config{Seed: uint64(i)})
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			server, err := l.Host(HostConfig{})
			if err != nil {
				t.Error(err)
				return
			}
			b, err := l.NAT(NAT{Kernel: i%2 == 0})
			if err != nil {
				t.Error(err)
				return
			}
			h, err := l.Host(HostConfig{Behind: b})
			if err != nil {
				t.Error(err)
				return
			}
			ln, err := server.Listen("tcp4", ":80")
			if err != nil {
				t.Error(err)
				return
			}
			defer ln.Close()
			group.Go(func() {
				if c, err := ln.Accept(); err == nil {
					fmt.Fprint(c, i)
					c.Close()
				}
			})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c, err := h.Dial(ctx, nil, "tcp4", server.Addr().String()+":80")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if got, err := io.ReadAll(c); err != nil || string(got) != strconv.Itoa(i) {
				t.Errorf("lab %d got %q, %v", i, got, err)
			}
		})
	}
	group.Wait()
}

// The lab needs no root where user namespaces and /dev/net/tun are for
// everyone: some tests again, as nobody.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv(inner) != "" {
		t.Skip("only root can become nobody, and this run is unprivileged already")
	}
	need(t)
	dir, err := os.MkdirTemp("", "natlab")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	binary := filepath.Join(dir, "natlab.test")
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, b, 0o755); err != nil {
		t.Fatal(err)
	}
	var out []byte
	done := make(chan error)
	go func() {
		// In a mount namespace of its own, the thread gives /dev/net/tun the
		// mode that it has on most distributions.
		runtime.LockOSThread() // and ends the thread with the goroutine
		node := filepath.Join(dir, "tun")
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200)))
		}
		if err == nil {
			os.Chmod(node, 0o666)
			err = unix.Mount(node, tunPath, "", unix.MS_BIND, "")
		}
		if err != nil {
			done <- fmt.Errorf("prepare: %w", err)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
		defer cancel()
		c := exec.CommandContext(ctx, binary, "-test.v", "-test.run=^(TestPunchTogether|TestCommand|TestDeath|TestCarrier)$")
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
		out, err = c.CombinedOutput()
		done <- err
	}()
	err = <-done
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("nobody can't run a lab here:\n%s", out)
	}
	if err != nil || strings.Count(string(out), "\n--- PASS") != 4 {
		t.Errorf("%v:\n%s", err, out)
	}
}
