package serve

import (
	"go.uber.org/goleak"
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// patience is after what time a test gives up waiting for something.
const patience = 20 * time.Second

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
