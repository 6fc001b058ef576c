package relay_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node/relay"
)

// coturn starts a TURN server that is not ours, or skips the test.
func coturn(t *testing.T) relay.Place {
	t.Helper()
	path, err := exec.LookPath("turnserver")
	if err != nil {
		t.Skip("coturn is not installed: apt-get install coturn")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	dir := t.TempDir()
	cmd := exec.Command(path, "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--listening-port="+strconv.Itoa(port),
		"--use-auth-secret", "--static-auth-secret="+secret, "--realm=sallyport.test", "--allow-loopback-peers", "--cli-password=unused", "--no-cli",
		"--no-tls", "--no-dtls", "--no-udp", "--log-file=stdout", "--pidfile="+filepath.Join(dir, "pid"), "--userdb="+filepath.Join(dir, "db"), "--min-port=0")
	cmd.Dir = dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		end := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		end.Stop()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	p := relay.Place{Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Secret: secret}
	eventually(t, "coturn listens", func() bool {
		c, err := net.Dial("tcp", p.Host)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return p
}

// TestThroughCoturn does the same with a TURN server that is not ours.
func TestThroughCoturn(t *testing.T) {
	p := coturn(t)
	_, near, far := through(t, p)
	carriesInTurn(t, near, far)
	near.Keep()
	_, _ = io.WriteString(near, "the end")
	go func() { _ = near.Close() }()
	got := make([]byte, 7) // after which coturn resets the peer's connection
	if _, err := io.ReadFull(far, got); err != nil || string(got) != "the end" {
		t.Errorf("the peer read %q, error %v", got, err)
	}
	if _, err := relay.Allocate(shortly(t), relay.Place{Host: p.Host, Secret: "wrong"}, relay.Config{}); err == nil || !strings.Contains(err.Error(), "refused the credentials") {
		t.Errorf("a wrong secret: %v", err)
	}
}

// Two allocations meet by Connect: both on one coturn, each on one of its own,
// and one of them with lent credentials.
func TestConnectThroughCoturn(t *testing.T) {
	one, other := coturn(t), coturn(t)
	host := allocate(t, one)
	for name, place := range map[string]relay.Place{"same": one, "other": other, "lent": lend(t, host, "guest")} {
		t.Run(name, func(t *testing.T) {
			near, far := meet(t, host, allocate(t, place))
			carriesInTurn(t, near, far)
			ends(t, near, far)
		})
	}
}
