package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Each service that can't have its port says so in one clause, with a hint; what
// Go made of it is the cause.
func TestTakenPort(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	port := uint16(tcp.Addr().(*net.TCPAddr).Port)
	packets := uint16(udp.LocalAddr().(*net.UDPAddr).Port)
	names := filepath.Join(t.TempDir(), "names.db")
	for who, one := range map[string]struct {
		cfg  Config
		what string
		flag string
	}{
		"the broker":      {Config{Broker: BrokerConfig{Port: port}}, "TCP port %d of 127.0.0.1 is taken", "--mqtt-port"},
		"the STUN server": {Config{STUN: STUNConfig{Port: packets}}, "UDP port %d of 127.0.0.1 is taken", "--stun-port"},
		"the relay":       {Config{Relay: RelayConfig{Port: port}}, "TCP port %d of 127.0.0.1 is taken", "--turn-port"},
		"the registry":    {Config{Registry: RegistryConfig{File: names, Port: port}}, "TCP port %d of 127.0.0.1 is taken", "--registry-port"},
		"the monitor":     {Config{Metrics: tcp.Addr().String()}, "TCP port %d of 127.0.0.1 is taken", "--metrics"},
	} {
		taken := port
		if who == "the STUN server" {
			taken = packets
		}
		refuse(t, one.cfg, who+" can't listen: "+fmt.Sprintf(one.what, taken), one.flag)
	}
	refuse(t, Config{Listen: []string{"192.0.2.1"}}, "the broker can't listen: 192.0.2.1 is no address of this machine", "--listen")
}

// refuse starts what can't be, and looks at the words.
func refuse(t *testing.T, cfg Config, what, hint string) {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = []string{"127.0.0.1"}
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := Start(cfg)
	if err == nil {
		s.Close()
		t.Errorf("%s: it started", what)
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Error() != what || !strings.Contains(e.Hint(), hint) || e.Unwrap() == nil {
		t.Errorf("got %q with the hint %q, want %q with %s and a cause", err, e.Hint(), what, hint)
	}
}

// So it is with files.
func TestUnusableFiles(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere", "file")
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	if err := os.WriteFile(rubbish, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted := fmt.Sprintf("%q", nowhere)
	missing := quoted + ": " + syscall.ENOENT.Error()
	refuse(t, Config{Relay: RelayConfig{SecretFile: nowhere}}, "the relay's secret can't be kept: "+missing, "--turn-secret")
	refuse(t, Config{Registry: RegistryConfig{File: nowhere}}, "the registry can't be opened: "+missing, "--registry")
	refuse(t, Config{Certificate: nowhere, CertificateKey: nowhere}, "the certificate can't be used: "+missing, "--cert")
	refuse(t, Config{Certificate: rubbish, CertificateKey: rubbish}, "the certificate can't be used: failed to find any PEM data in certificate input", "--cert")
}

// What this machine or this user does not meet is told, too.
func TestWhyNotListen(t *testing.T) {
	met := func(network string, at net.Addr, n syscall.Errno) error {
		return fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Net: network, Addr: at, Err: os.NewSyscallError("bind", n)})
	}
	for _, one := range []struct {
		err       error
		why, hint string
	}{
		{met("tcp4", &net.TCPAddr{IP: net.IPv4zero, Port: 443}, syscall.EACCES), "TCP port 443 is kept for programs with more rights", "1024"},
		{met("udp", &net.UDPAddr{IP: net.ParseIP("::1"), Port: 3478}, syscall.EADDRINUSE), "UDP port 3478 of ::1 is taken", ""},
		{met("tcp", &net.TCPAddr{IP: net.IPv4zero, Port: 1883}, syscall.EMFILE), "TCP port 1883 can't be had: " + syscall.EMFILE.Error(), ""},
		{errors.New("the second port is the first, 3478"), "the second port is the first, 3478", ""},
	} {
		if why, hint := whyNotListen(one.err); why != one.why || !strings.Contains(hint, one.hint) {
			t.Errorf("got %q and %q, want %q and %q", why, hint, one.why, one.hint)
		}
	}
}
