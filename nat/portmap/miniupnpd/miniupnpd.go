// Package miniupnpd runs the real miniupnpd, the daemon of many home routers, on
// a router of the laboratory that is Linux's own NAT. It is for tests: where the
// daemon or nft(8) is not installed, they are skipped.
package miniupnpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// tables are what the daemon wants to find.
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
allow 1-65535 0.0.0.0/0 1-65535
`

// Router is a box on which the daemon runs, until the test ends.
type Router struct {
	t      testing.TB
	box    *natlab.Box
	conf   string
	daemon *natlab.Cmd
	log    chan string // what it said, once it has ended
}

// Start starts the daemon on a box whose NAT is the kernel's, with options
// beside its own, and returns when it listens.
func Start(t testing.TB, box *natlab.Box, options ...string) *Router {
	t.Helper()
	for _, program := range []string{"miniupnpd", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: %v", program, err)
		}
	}
	r := &Router{t: t, box: box, conf: filepath.Join(t.TempDir(), "miniupnpd.conf")}
	text := configuration + strings.Join(options, "\n") + "\n"
	if err := os.WriteFile(r.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.nft(tables, "-f", "-")
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *Router) nft(input string, args ...string) string {
	r.t.Helper()
	c := r.box.Command(r.t.Context(), "nft", args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

func (r *Router) start() {
	r.t.Helper()
	c := r.box.Command(context.Background(), "miniupnpd", "-d", "-f", r.conf, "-P", r.conf+".pid")
	errs, err := c.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	ready := make(chan bool, 1)
	r.daemon, r.log = c, make(chan string, 1)
	go func(log chan<- string) {
		var said bytes.Buffer
		listens := false
		for lines := bufio.NewScanner(io.TeeReader(errs, &said)); lines.Scan(); {
			if !listens && strings.Contains(lines.Text(), "Listening for NAT-PMP/PCP") {
				listens = true
				ready <- true
			}
		}
		close(ready)
		log <- said.String()
	}(r.log)
	if !<-ready {
		r.t.Fatalf("miniupnpd did not start:\n%s", <-r.log)
	}
}

// kill leaves the daemon no time to tidy up.
func (r *Router) kill() {
	_ = r.daemon.Process.Kill()
	said := <-r.log
	_ = r.daemon.Wait()
	if r.t.Failed() {
		r.t.Logf("miniupnpd said:\n%s", said)
	}
	r.log <- said // for who comes next
}

// Restart has the router forget all that it forwards, as when its power fails,
// and do what happens meanwhile before the daemon starts anew.
func (r *Router) Restart(meanwhile func()) {
	r.t.Helper()
	r.kill()
	r.nft("", "flush", "chain", "inet", "miniupnpd", "upnp_dnat")
	r.nft("", "flush", "chain", "inet", "miniupnpd", "upnp_forward")
	meanwhile()
	r.start()
}

// Rules are those of the daemon, as nft(8) lists them: a forwarded port has a
// "dnat", a pinhole an "accept", and each rule a number, which is never used again.
func (r *Router) Rules() string {
	r.t.Helper()
	return r.nft("", "-a", "list", "table", "inet", "miniupnpd")
}

// Forwards reports whether a port is forwarded.
func (r *Router) Forwards() bool {
	r.t.Helper()
	return strings.Contains(r.Rules(), "dnat ip to")
}

// Run runs a command on the router, and skips the test where there is no such
// program.
func (r *Router) Run(name string, args ...string) {
	r.t.Helper()
	out, err := r.box.Command(r.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatal(fmt.Errorf("%s %v: %w: %s", name, args, err, out))
	}
}
