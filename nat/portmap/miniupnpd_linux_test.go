package portmap

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

const patience = 15 * time.Second

// tables are what miniupnpd wants to find, and its configuration.
const tables = `table inet miniupnpd {
	chain forward { type filter hook forward priority 0; jump upnp_forward; }
	chain prerouting { type nat hook prerouting priority -100; jump upnp_dnat; }
	chain postrouting { type nat hook postrouting priority 90; jump upnp_snat; }
	chain upnp_forward { }
	chain upnp_dnat { }
	chain upnp_snat { }
}
`

const configuration = `ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=yes
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=upnp_forward
upnp_nat_chain=upnp_dnat
upnp_nat_postrouting_chain=upnp_snat
secure_mode=yes
system_uptime=no
min_lifetime=2
max_lifetime=86400
uuid=6a9a5d8e-0000-4000-8000-000000000001
force_igd_desc_v1=%s
allow 1-65535 0.0.0.0/0 1-65535
`

// home is a host behind a kernel NAT with a real miniupnpd, and a stranger on
// the internet.
type home struct {
	t              *testing.T
	box            *natlab.Box
	host, stranger *natlab.Host
	conf           string
	daemon         *natlab.Cmd
}

func newHome(t *testing.T, onlyIGD1 bool) *home {
	t.Helper()
	if err := natlab.Available(); err != nil {
		t.Skipf("the lab can't run here: %v", err)
	}
	for _, program := range []string{"miniupnpd", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: %v", program, err)
		}
	}
	lab, err := natlab.New(natlab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	h := &home{t: t, conf: filepath.Join(t.TempDir(), "miniupnpd.conf")}
	if h.box, err = lab.NAT(natlab.NAT{Kernel: true}); err != nil {
		t.Fatal(err)
	}
	if h.host, err = lab.Host(natlab.HostConfig{Behind: h.box}); err != nil {
		t.Fatal(err)
	}
	if h.stranger, err = lab.Host(natlab.HostConfig{}); err != nil {
		t.Fatal(err)
	}
	yes := map[bool]string{true: "yes", false: "no"}[onlyIGD1]
	if err := os.WriteFile(h.conf, fmt.Appendf(nil, configuration, yes), 0o600); err != nil {
		t.Fatal(err)
	}
	h.nft(tables, "-f", "-")
	h.start()
	return h
}

func (h *home) nft(input string, args ...string) string {
	h.t.Helper()
	c := h.box.Command(h.t.Context(), "nft", args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if err != nil {
		h.t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// start runs the daemon and waits until it listens.
func (h *home) start() {
	h.t.Helper()
	c := h.box.Command(context.Background(), "miniupnpd", "-d", "-f", h.conf, "-P", h.conf+".pid")
	errs, err := c.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.daemon = c
	var log []string
	ready := make(chan bool, 8)
	go func() {
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			log = append(log, lines.Text())
			if strings.Contains(lines.Text(), "Listening for NAT-PMP/PCP") {
				ready <- true
				break
			}
		}
		_, _ = io.Copy(io.Discard, errs)
		close(ready)
	}()
	if !<-ready {
		h.t.Fatalf("miniupnpd did not start:\n%s", strings.Join(log, "\n"))
	}
}

// stop kills the daemon, so that it has no time to tidy up.
func (h *home) stop() {
	_ = h.daemon.Process.Kill()
	_ = h.daemon.Wait()
}

// program is this binary, playing a role on the host.
func (h *home) program(r role) *natlab.Cmd {
	h.t.Helper()
	r.Local, r.Port = h.host.Addr(), 40123
	text, err := json.Marshal(r)
	if err != nil {
		h.t.Fatal(err)
	}
	c := h.host.Command(context.Background(), os.Args[0])
	c.Env = append(os.Environ(), playMapping+"="+string(text), "GORACE=atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	return c
}

// mapped is a program on the host that maps its port.
type mapped struct {
	*natlab.Cmd
	in    io.Closer
	lines chan string
}

func (h *home) mapped(r role) (*mapped, string) {
	h.t.Helper()
	p := &mapped{Cmd: h.program(r), lines: make(chan string, 100)}
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	select {
	case line := <-p.lines:
		e, ok := strings.CutPrefix(line, "now ")
		if !ok {
			h.t.Fatal(line)
		}
		return p, e
	case <-time.After(patience):
		h.t.Fatal("nothing was mapped")
	}
	return nil, ""
}

// welcomed reports whether a stranger reaches the host at that endpoint.
func (h *home) welcomed(at string) bool {
	ctx, cancel := context.WithTimeout(h.t.Context(), 500*time.Millisecond)
	defer cancel()
	c, err := h.stranger.Dial(ctx, nil, "tcp", at)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	b, _ := io.ReadAll(c)
	return string(b) == "welcome"
}

func (h *home) until(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			h.t.Fatalf("not within %v: %s\n%s", patience, what, h.nft("", "list", "ruleset"))
		}
	}
}

func (h *home) forwards() bool {
	return strings.Contains(h.nft("", "list", "chain", "inet", "miniupnpd", "upnp_dnat"), "dnat to")
}

// TestMiniupnpd maps a port on a real router by each protocol: a stranger gets
// in, and no more once the program has ended.
func TestMiniupnpd(t *testing.T) {
	for _, c := range []struct {
		name   string
		igd1   bool
		speaks []Protocol
	}{
		{"pcp", false, []Protocol{PCP}}, {"nat-pmp", false, []Protocol{NATPMP}},
		{"igd2", false, []Protocol{UPnP}}, {"igd1", true, []Protocol{UPnP}}, {"all", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t, c.igd1)
			for _, end := range []string{"close", "SIGTERM"} {
				p, at := h.mapped(role{Protocols: c.speaks})
				if want := net.JoinHostPort(h.box.Externals()[0].String(), "40123"); at != want {
					t.Errorf("mapped at %s, want %s", at, want)
				}
				if !h.welcomed(at) {
					t.Errorf("a stranger is not let in at %s:\n%s", at, h.nft("", "list", "ruleset"))
				}
				if end == "close" {
					_ = p.in.Close()
				} else {
					_ = p.Process.Signal(syscall.SIGTERM)
				}
				if err := p.Wait(); err != nil {
					t.Error(err)
				}
				if h.forwards() || h.welcomed(at) {
					t.Errorf("after %s the mapping is still there:\n%s", end, h.nft("", "list", "ruleset"))
				}
			}
		})
	}
}

// TestMiniupnpdTellsWhatItOffers asks a real router, which shall be none the
// wiser.
func TestMiniupnpdTellsWhatItOffers(t *testing.T) {
	h := newHome(t, false)
	before := h.nft("", "list", "ruleset")
	out, err := h.program(role{Ask: true}).Output()
	at := h.box.Externals()[0]
	want := fmt.Sprint(Offer{h.box.Gateway(), []Answer{{PCP, netip.Addr{}, nil}, {NATPMP, at, nil}, {UPnP, at, nil}}})
	if err != nil || string(out) != want {
		t.Errorf("it prints %q, %v, want %q", out, err, want)
	}
	if after := h.nft("", "list", "ruleset"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestMiniupnpdRenewsAndRestarts holds a mapping that the router would drop
// after four seconds, over a restart that forgets it.
func TestMiniupnpdRenewsAndRestarts(t *testing.T) {
	for _, protocol := range Protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			h := newHome(t, false)
			p, at := h.mapped(role{Protocols: []Protocol{protocol}, Lifetime: 4 * time.Second, Check: 300 * time.Millisecond})
			// A lease that nobody renews is gone after four seconds, for good.
			for begun := time.Now(); time.Since(begun) < 9*time.Second; {
				h.welcomed(at)
			}
			h.until("renewed", func() bool { return h.welcomed(at) })
			h.stop()
			h.nft("", "flush", "chain", "inet", "miniupnpd", "upnp_dnat")
			if h.welcomed(at) {
				t.Fatal("the restart forgot nothing")
			}
			h.start()
			h.until("mapped again", func() bool { return h.welcomed(at) })
			_ = p.in.Close()
			if err := p.Wait(); err != nil || h.forwards() {
				t.Errorf("ended with %v, forwards: %v", err, h.forwards())
			}
		})
	}
}
