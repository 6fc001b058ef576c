//go:build unix

package main

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
)

// startServe runs what sallyport serve does, on loopback and on any ports.
func startServe(t testing.TB, cfg serve.Config) *serve.Server {
	t.Helper()
	cfg.Listen, cfg.Logger = []string{"127.0.0.1"}, slog.New(slog.DiscardHandler)
	s, err := serve.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

var metricNames = regexp.MustCompile("sallyport_[a-z_]+")

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
	if err := configfile.Apply("the example", example, configfile.Keys{Flags: flags}); err != nil {
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
	known := map[string]bool{"sallyport_certificate_expiry_time_seconds": true}
	for _, name := range metricNames.FindAllString(scrape(t), -1) {
		known[name] = true
	}
	names := metricNames.FindAllString(string(page), -1)
	if len(names) < 10 {
		t.Errorf("only %d metrics", len(names))
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// scrape gives the metrics of all services.
func scrape(t *testing.T) string {
	t.Helper()
	s := startServe(t, serve.Config{Metrics: "127.0.0.1:0", Registry: serve.RegistryConfig{File: filepath.Join(t.TempDir(), "names.db")}})
	resp, err := http.Get(s.Places().Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FuzzPorts: whatever the range, no port is dealt out twice or lies beside it.
func FuzzPorts(f *testing.F) {
	for _, s := range []string{"", "3478-3733", "1-8", "65528-65535", "65530-65540", "0-9", "a-b", "5-", "-5", "1-2-3", "9-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v serveFlags
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		v.ports, v.Relay.MaxAge = text, time.Hour
		if v.settlePorts(flags) != nil || text == "" {
			return
		}
		dealt := []uint16{v.STUN.Port, v.STUN.AlternatePort, v.Relay.Port, v.Broker.Port, v.Broker.TLSPort, v.Relay.FirstPort, v.Relay.LastPort}
		if !slices.IsSorted(dealt) || len(slices.Compact(dealt)) != 7 || dealt[0] == 0 {
			t.Fatalf("%q: %d", text, dealt)
		}
	})
}
