package serve

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/node/nickname"
)

// patience is after what time a test gives up waiting for something.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(Config{
		Listen: []string{"127.0.0.1"}, Metrics: "127.0.0.1:0", Relay: RelayConfig{AllowPrivate: true},
		Registry: RegistryConfig{File: filepath.Join(t.TempDir(), "names.db")}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Where it says that the services are, they are, until it is closed.
func TestPlaces(t *testing.T) {
	s := start(t)
	p := s.Places()
	names, err := nickname.ParseRegistry(p.Registry)
	if err != nil {
		t.Fatal(err)
	}
	at := append([]string{strings.TrimPrefix(p.Brokers[0], "tcp://"), turn(t, s).Host, strings.TrimPrefix(names.URL, "http://")}, p.STUN...)
	for _, hostport := range at {
		c, err := net.DialTimeout("tcp", hostport, patience)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	want := "--broker " + p.Brokers[0] + " --stun " + p.STUN[0] + " --stun " + p.STUN[1] + " --turn " + p.TURN + " --registry " + p.Registry
	if p.Flags != want {
		t.Errorf("got %q, want %q", p.Flags, want)
	}
	s.Close()
	s.Close()
	for _, hostport := range at {
		c, err := net.DialTimeout("tcp", hostport, patience)
		if err != nil {
			continue
		}
		// The kernel may have picked the port that is dialled for the dialler itself.
		if c.LocalAddr().String() != c.RemoteAddr().String() {
			t.Errorf("%s is still there", hostport)
		}
		_ = c.Close()
	}
}

// What can't be is told apart from what this machine does not allow, and leaves
// nothing behind.
func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := uint16(taken.Addr().(*net.TCPAddr).Port)
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("1234567\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg     Config
		misused bool
		want    string
	}{
		"no address":        {Config{Listen: []string{"nosuchhost.invalid"}}, true, `--listen "nosuchhost.invalid" is no address`},
		"one address twice": {Config{Listen: []string{"127.0.0.1", "127.0.0.1"}}, true, "two --listen must be"},
		"two families":      {Config{Listen: []string{"127.0.0.1", "::1"}}, true, "two --listen must be"},
		"more names":        {Config{Listen: []string{"127.0.0.1"}, Advertise: []string{"a", "b"}}, true, "--advertise as often"},
		"half a pair":       {Config{Certificate: "cert.pem"}, true, "--cert and --key-file go together"},
		"no certificate":    {Config{Certificate: dir + "/none", CertificateKey: dir + "/none"}, true, "the certificate can't be used"},
		"a short secret":    {Config{Relay: RelayConfig{SecretFile: short}}, true, "holds no secret"},
		"public metrics":    {Config{Metrics: "0.0.0.0:0"}, true, "is no port of a loopback address"},
		"broker":            {Config{Broker: BrokerConfig{Port: port}}, false, "the broker can't listen"},
		"relay":             {Config{Relay: RelayConfig{Port: port}}, false, "the relay can't listen"},
		"STUN":              {Config{STUN: STUNConfig{Port: port}}, false, "the STUN server can't listen"},
		"registry":          {Config{Registry: RegistryConfig{File: filepath.Join(dir, "names.db"), Port: port}}, false, "the registry can't listen"},
		"metrics":           {Config{Metrics: taken.Addr().String()}, false, "the monitor can't listen"},
	} {
		if c.cfg.Listen == nil {
			c.cfg.Listen = []string{"127.0.0.1"}
		}
		c.cfg.Logger = slog.New(slog.DiscardHandler)
		s, err := Start(c.cfg)
		var e *Error
		switch {
		case err == nil:
			s.Close()
			t.Errorf("%s: it runs", name)
		case !errors.As(err, &e) || e.Misused() != c.misused || !strings.Contains(e.Error(), c.want):
			t.Errorf("%s: %v (%+v)", name, err, e)
		case !c.misused && (e.Hint() == "" || !errors.Is(err, syscall.EADDRINUSE)):
			t.Errorf("%s: hint %q, cause %v", name, e.Hint(), e.Unwrap())
		}
	}
}
