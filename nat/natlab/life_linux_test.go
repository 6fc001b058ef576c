package natlab

import (
	"context"
	"fmt"
	"io"
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
		if _, err := l.NAT(NAT{Kernel: true, LAN: server.ifaces[0].link.nets.v4.prefix, Externals: 2}); err == nil {
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
		if f <= fds && g <= goroutines && c <= children { // something of before may have ended, too
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
