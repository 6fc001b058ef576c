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
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

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
