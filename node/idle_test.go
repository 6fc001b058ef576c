package node_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/probe"
)

// mostIdle is what a node may have resident that only waits, in MiB: less than
// P2PD's 33.9 and libp2p's 24.6 MB.
const mostIdle = 16

// TestIdleNodeIsSmall has the process of `sallyport node` give back what starting
// took, and answer as before.
func TestIdleNodeIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program, and waits for five seconds")
	}
	t.Parallel()
	n := startIdle(t)
	m := n.settled()
	n.ping()
	t.Logf("%.1f MiB, and %.1f after a peer was there", m.resident, n.memory().resident)
}

// idleNode writes down what a node has resident, as it is released, over some
// minutes.
func idleNode(t *testing.T, page io.Writer) {
	if runtime.GOOS != "linux" {
		t.Log("the memory of an idle node is measured on Linux alone")
		return
	}
	n := startIdle(t, "-trimpath", "-ldflags=-s -w")
	begun := n.memory()
	n.settled()
	time.Sleep(time.Minute)
	idle := n.memory()
	n.ping()
	after := n.memory()
	again := after
	for until := time.Now().Add(2*time.Minute + 5*time.Second); again.file >= after.file && time.Now().Before(until); again = n.memory() {
		time.Sleep(time.Second) // it looks once a minute whether it is idle
	}
	for what, m := range map[string]memory{"that waits": idle, "that waits again": again} {
		if m.resident > mostIdle {
			t.Errorf("a node %s has %.1f MiB resident", what, m.resident)
		}
	}
	fmt.Fprintf(page, "## An idle node\n\nThe process of `sallyport node` as it is released (`CGO_ENABLED=0`, stripped), waiting on a broker, in MiB:\n\n"+
		"| | resident | its own | of its file |\n| --- | ---: | ---: | ---: |\n")
	for _, row := range []struct {
		text string
		memory
	}{
		{"when it is ready", begun}, {"**after a minute of waiting**", idle}, {"when a peer has connected, and is gone", after}, {"at its next look, within a minute", again},
	} {
		fmt.Fprintf(page, "| %s | %.1f | %.1f | %.1f |\n", row.text, row.resident, row.own, row.file)
	}
	fmt.Fprint(page, "\n*Its own* is heap, stacks and the runtime's tables; *of its file* are pages of the program, which the kernel shares with its cache of that file."+
		" At the first touch of one it maps the fifteen around it, too, so that starting maps nearly all of the program."+
		" Five seconds after its start, and then once a minute if it was idle, `node` and `up` collect their garbage, return free memory and unmap their program (`cmd/sallyport/internal/spare`):"+
		" what they go on using comes back at once out of the cache, and is counted above. In the laboratory, without that: `go test ./node -run '^$' -bench Idle`.\n")
}

// memory is what of a process is resident, in MiB.
type memory struct{ resident, own, file float64 }

// idle is a process of `sallyport node`.
type idle struct {
	t       *testing.T
	program string
	shared  []string // flags
	env     []string
	pid     int
	address string
}

// startIdle builds and starts one, with a broker and a STUN server over loopback.
func startIdle(t *testing.T, build ...string) *idle {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the memory of an idle node is measured on Linux alone")
	}
	dir := t.TempDir()
	n := &idle{t: t, program: filepath.Join(t.TempDir(), "sallyport")}
	compile := exec.Command("go", append(append([]string{"build", "-o", n.program}, build...), "../cmd/sallyport")...)
	if len(build) > 0 {
		compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg := local(t)
	stun, err := probe.NewServer(probe.ServerConfig{Primary: netip.MustParseAddrPort("127.0.0.1:0"), OnePort: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stun.Close() })
	n.shared = []string{"--json", "--interface", "lo", "--no-lan", "--broker", cfg.Brokers[0].URL, "--stun", stun.Addr().String()}
	n.env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_STATE_HOME="+dir)
	c := exec.Command(n.program, append([]string{"node", "--echo"}, n.shared...)...)
	c.Env = n.env
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	n.pid = c.Process.Pid
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	var ready struct{ Event, Address string }
	if err == nil {
		err = json.Unmarshal([]byte(line), &ready)
	}
	if err != nil || ready.Event != "ready" {
		_ = c.Process.Kill()
		_ = c.Wait()
		t.Fatalf("%q, %v: %s", line, err, &said)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	n.address = ready.Address
	return n
}

// memory asks the kernel.
func (n *idle) memory() memory {
	n.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid))
	if err != nil {
		n.t.Fatal(err)
	}
	mib := func(name string) float64 {
		var kb float64
		_, rest, _ := strings.Cut(string(status), name+":")
		if _, err := fmt.Sscan(rest, &kb); err != nil {
			n.t.Fatalf("%s: %v", name, err)
		}
		return kb / 1024
	}
	return memory{mib("VmRSS"), mib("RssAnon"), mib("RssFile")}
}

// settled waits until it is as small as it should be.
func (n *idle) settled() memory {
	n.t.Helper()
	// It looks five seconds after its start, and then once a minute whether it is idle.
	for until := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		m := n.memory()
		if m.resident <= mostIdle {
			return m
		}
		if time.Now().After(until) {
			n.t.Fatalf("a node that waits has %.1f MiB resident, %.1f of its own and %.1f of its file", m.resident, m.own, m.file)
		}
	}
}

// ping has a peer connect.
func (n *idle) ping() {
	n.t.Helper()
	dir := n.t.TempDir()
	c := exec.Command(n.program, append(append([]string{"ping", "-c", "1"}, n.shared...), n.address)...)
	c.Env = append(n.env, "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_STATE_HOME="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		n.t.Fatalf("a node that waits does not answer: %v: %s", err, out)
	}
}
