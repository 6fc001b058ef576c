package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
)

// playProbe, in the environment, makes this binary probe with the Config that
// it holds and print an outcome, on a host of a lab.
const playProbe = "SALLYPORT_TEST_PROBE"

// playMap, in the environment, makes it map two consecutive ports, one after
// the other, each by one of the servers named, and print the mappings.
const playMap = "SALLYPORT_TEST_MAP"

// playServer, in the environment, makes it be a STUN server with the
// ServerConfig that it holds until its standard input ends. A server that
// calls clients back opens sockets of its own accord, which wants a process.
const playServer = "SALLYPORT_TEST_STUN"

// playLifetime, in the environment, makes it find the lifetime of a mapping
// with the LifetimeConfig that it holds, and print the Lifespan.
const playLifetime = "SALLYPORT_TEST_LIFETIME"

// outcome is what a probe on a host of a lab prints.
type outcome struct {
	Reports []nat.Report // by Progress, and the last one
	Error   string
	Took    time.Duration
}

func TestMain(m *testing.M) {
	natlab.Main()
	if c := os.Getenv(playProbe); c != "" {
		if err := play(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if c := os.Getenv(playLifetime); c != "" {
		if err := playALifetime(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if c := os.Getenv(playServer); c != "" {
		if err := serve(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if servers := os.Getenv(playMap); servers != "" {
		if err := playMaps(strings.Split(servers, ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	natlabtest.SideBySide(5)
	goleak.VerifyTestMain(m)
}

func play(config string) error {
	var cfg Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	var out outcome
	cfg.Progress = func(r nat.Report) { out.Reports = append(out.Reports, r) }
	start := time.Now()
	r, err := Run(context.Background(), cfg)
	out.Took = time.Since(start)
	out.Reports = append(out.Reports, r)
	if err != nil {
		out.Error = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func serve(config string) error {
	var cfg ServerConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	s, err := NewServer(cfg)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

func playALifetime(config string) error {
	var cfg LifetimeConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	span, err := Lifetime(context.Background(), cfg)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(span)
}

func playMaps(servers []string) error {
	ctx := context.Background()
	first, err := Map(ctx, MapConfig{Local: netip.MustParseAddrPort("0.0.0.0:40000"), Servers: servers[:1]})
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := Map(ctx, MapConfig{Local: netip.MustParseAddrPort("0.0.0.0:40001"), Servers: servers[1:2]})
	if err != nil {
		return err
	}
	defer second.Close()
	return json.NewEncoder(os.Stdout).Encode([]nat.Mapping{first.Mapping(), second.Mapping()})
}
