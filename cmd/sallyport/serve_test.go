//go:build unix

package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/node/relay"
)

func serveHere(t *testing.T) *servers {
	t.Helper()
	names := registryFlags{file: filepath.Join(t.TempDir(), "names.db")}
	s, err := startServers(&serveFlags{listen: []string{"127.0.0.1"}, metrics: "127.0.0.1:0", turnPrivate: true, registry: names}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func httpStatus(t *testing.T, s *servers, path string) int {
	t.Helper()
	resp, err := http.Get("http://" + s.monitor.at.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// While it drains, what is relayed goes on, nobody new gets in anywhere, and
// the load balancer is told. It is over as soon as nothing is relayed.
func TestDrain(t *testing.T) {
	s := serveHere(t)
	place, err := relay.ParseURL(s.ready.TURN)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := relay.Allocate(ctx, place, relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got := httpStatus(t, s, "/readyz"); got != 200 {
		t.Errorf("ready: status %d", got)
	}
	drained := make(chan struct{})
	go func() { s.drain(time.Hour); close(drained) }()
	end := time.Now().Add(patience)
	for httpStatus(t, s, "/readyz") != http.StatusServiceUnavailable {
		if time.Now().After(end) {
			t.Fatal("still ready")
		}
	}
	if got := httpStatus(t, s, "/healthz"); got != 200 {
		t.Errorf("healthy: status %d", got)
	}
	for _, at := range []string{strings.TrimPrefix(s.ready.Brokers[0], "tcp://"), s.ready.STUN[0], s.ready.STUN[1], place.Host} {
		for {
			c, err := net.Dial("tcp", at)
			if err != nil {
				break
			}
			c.Close()
			if time.Now().After(end) {
				t.Fatalf("%s takes new connections", at)
			}
		}
	}
	select {
	case <-drained:
		t.Fatal("it did not wait for the allocation")
	default:
	}
	_ = a.Close()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Fatal("it waits for nothing")
	}
}

func TestDrainIsBounded(t *testing.T) {
	s := serveHere(t)
	place, err := relay.ParseURL(s.ready.TURN)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := relay.Allocate(ctx, place, relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	begin := time.Now()
	s.drain(100 * time.Millisecond)
	if took := time.Since(begin); took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// Every metric has a name of its own, a line of help, and the type that its
// name says.
func TestExposition(t *testing.T) {
	s := serveHere(t)
	seen := map[string]bool{}
	all := append(s.metrics(), processMetrics()...)
	for _, m := range all {
		if seen[m.name] || !strings.HasSuffix(m.help, ".") || strings.ContainsAny(m.help, "\n\\") || strings.ContainsFunc(m.name, func(r rune) bool {
			return r != '_' && (r < 'a' || r > 'z')
		}) {
			t.Errorf("%+v, seen %v", m, seen[m.name])
		}
		seen[m.name] = true
	}
	lines := strings.Split(strings.TrimSuffix(string(exposition(all)), "\n"), "\n")
	if len(lines) != 3*len(all) {
		t.Fatalf("%d lines for %d metrics", len(lines), len(all))
	}
	for n, m := range all {
		kind := "gauge"
		if strings.HasSuffix(m.name, "_total") {
			kind = "counter"
		}
		name, value, _ := strings.Cut(lines[3*n+2], " ")
		if _, err := strconv.ParseFloat(value, 64); err != nil || name != m.name ||
			lines[3*n] != "# HELP "+m.name+" "+m.help || lines[3*n+1] != "# TYPE "+m.name+" "+kind {
			t.Errorf("%q", lines[3*n:3*n+3])
		}
	}
}

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

// The page for operators names keys and metrics that there are.
func TestOperatingPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := newServe(newApp()).Flags()
	_, example, _ := strings.Cut(string(page), "```toml\n")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("no example of a configuration")
	}
	if err := applyConfig("the example", example, configKeys{command: "serve", flags: flags}); err != nil {
		t.Error(err)
	}
	if got := flags.Lookup("listen").Value.String(); got != "[203.0.113.7,203.0.113.8]" {
		t.Errorf("listen = %s", got)
	}
	_, limits, _ := strings.Cut(string(page), "## Limits")
	limits, _, _ = strings.Cut(limits, "\n## ")
	keys := regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(limits, -1)
	if len(keys) < 11 {
		t.Errorf("only %d keys in %q", len(keys), limits)
	}
	for _, k := range keys {
		if flags.Lookup(k[1]) == nil {
			t.Errorf("there is no key %q", k[1])
		}
	}
	s := serveHere(t)
	known := map[string]bool{"sallyport_certificate_expiry_time_seconds": true}
	for _, m := range s.metrics() {
		known[m.name] = true
	}
	names := regexp.MustCompile("sallyport_[a-z_]+").FindAllString(string(page), -1)
	if len(names) < 10 {
		t.Errorf("only %d metrics", len(names))
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// FuzzPorts: whatever the range, no port is dealt out twice or lies beside it.
func FuzzPorts(f *testing.F) {
	for _, s := range []string{"", "3478-3733", "1-8", "65528-65535", "65530-65540", "0-9", "a-b", "5-", "-5", "1-2-3", "9-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v serveFlags
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		v.ports, v.turnAge = text, time.Hour
		if v.settlePorts(flags) != nil || text == "" {
			return
		}
		dealt := []uint16{v.stun, v.alternate, v.turn, v.mqtt, v.mqtts, v.firstRelayed, v.lastRelayed}
		if !slices.IsSorted(dealt) || len(slices.Compact(dealt)) != 7 || dealt[0] == 0 {
			t.Fatalf("%q: %d", text, dealt)
		}
	})
}
