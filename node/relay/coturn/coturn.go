// Package coturn runs coturn, the TURN server that most people have, beside our
// own. It is for tests: where it is not installed, they are skipped.
package coturn

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Server is a coturn that runs until the test ends.
type Server struct {
	Secret string
	At     netip.AddrPort
	// Command makes a program ready on the host that it shall run on: by default
	// on this one.
	Command func(ctx context.Context, name string, args ...string) (*exec.Cmd, Process)
	// Dial dials from that host.
	Dial func(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error)
}

// Process starts a command, and waits for its end.
type Process interface {
	Start() error
	Wait() error
}

const (
	startTime = time.Minute
	stopTime  = 5 * time.Second
)

// Start starts the server, and returns when it listens. Its endpoints are at the
// address that it listens at, and it lets in loopback.
func (s Server) Start(t testing.TB, options ...string) {
	t.Helper()
	path, err := exec.LookPath("turnserver")
	if err != nil {
		t.Skip("coturn is not installed: apt-get install coturn")
	}
	if s.Command == nil {
		s.Command = func(ctx context.Context, name string, args ...string) (*exec.Cmd, Process) {
			c := exec.CommandContext(ctx, name, args...)
			return c, c
		}
		s.Dial = func(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
			return d.DialContext(ctx, network, address)
		}
	}
	dir, ip := t.TempDir(), s.At.Addr().String()
	cmd, process := s.Command(context.Background(), path, append([]string{
		"-n", "--listening-ip=" + ip, "--relay-ip=" + ip, "--listening-port=" + strconv.Itoa(int(s.At.Port())),
		"--use-auth-secret", "--static-auth-secret=" + s.Secret, "--realm=sallyport.test", "--allow-loopback-peers",
		"--cli-password=unused", "--no-cli", "--no-tls", "--no-dtls", "--no-udp", "--min-port=0", "--log-file=stdout",
		"--pidfile=" + filepath.Join(dir, "pid"), "--userdb=" + filepath.Join(dir, "db"),
	}, options...)...)
	cmd.Dir = dir
	var said log
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		end := time.AfterFunc(stopTime, func() { _ = cmd.Process.Kill() })
		_ = process.Wait()
		end.Stop()
		if t.Failed() {
			t.Logf("coturn at %v said:\n%s", s.At, said.text())
		}
	})
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		c, err := s.Dial(ctx, &net.Dialer{}, "tcp", s.At.String())
		cancel()
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Since(begun) > startTime {
			t.Fatalf("coturn does not listen at %v: %v\n%s", s.At, err, said.text())
		}
	}
}

// log keeps what the server says.
type log struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}
