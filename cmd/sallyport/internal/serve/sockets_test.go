//go:build unix

package serve

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// What systemd hands over is taken for what it says, or refused; none of it is
// kept for children.
func TestInheritedSockets(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"for another process": {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
		"none":                {"LISTEN_PID": strconv.Itoa(os.Getpid())},
	} {
		for key, value := range env {
			t.Setenv(key, value)
		}
		if s, err := inheritedSockets(); err != nil || len(s.tcp)+len(s.udp) != 0 || s.left() != nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if os.Getenv("LISTEN_PID")+os.Getenv("LISTEN_FDS") != "" {
			t.Errorf("%s: children would be told", name)
		}
	}
	for _, count := range []string{"x", "-1", "65", "1e3"} {
		t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		t.Setenv("LISTEN_FDS", count)
		if _, err := inheritedSockets(); err == nil {
			t.Errorf("LISTEN_FDS=%s was taken", count)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "no-socket"))
	if err != nil {
		t.Fatal(err)
	}
	s := &sockets{}
	if err := s.add(file); err == nil {
		t.Error("a file was taken for a socket")
	}
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	if file, err = unix.(*net.UnixListener).File(); err != nil {
		t.Fatal(err)
	}
	if err := s.add(file); err == nil {
		t.Error("a Unix socket was taken for TCP")
	}
}

// A socket for all addresses of both families is what 0.0.0.0 asks for.
func TestTakeSocket(t *testing.T) {
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{"0.0.0.0:1883", "0.0.0.0:1883", true},
		{"[::]:1883", "0.0.0.0:1883", true},
		{"127.0.0.1:1883", "127.0.0.1:1883", true},
		{"[::ffff:127.0.0.1]:1883", "127.0.0.1:1883", true},
		{"127.0.0.1:1883", "0.0.0.0:1883", false},
		{"0.0.0.0:1883", "127.0.0.1:1883", false},
		{"0.0.0.0:1883", "0.0.0.0:0", false},
		{"0.0.0.0:1883", "0.0.0.0:1884", false},
	} {
		have := map[netip.AddrPort]int{unmapped(netip.MustParseAddrPort(c.have)): 1}
		if _, ok := take(have, netip.MustParseAddrPort(c.want)); ok != c.ok || ok == (len(have) == 1) {
			t.Errorf("%+v: %v, left %v", c, ok, have)
		}
	}
}
