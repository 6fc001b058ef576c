package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyUnchangedCopiesOfTheProgramAreUnmapped(t *testing.T) {
	list := pristine(strings.NewReader(`00400000-00ae0000 r--p 00000000 fe:00 123 /opt/my tools/sallyport
Size:               7040 kB
Rss:                6000 kB
Anonymous:             0 kB
00ae0000-01200000 r-xp 006e0000 fe:00 123 /opt/my tools/sallyport
Anonymous:             4 kB
01200000-01300000 rw-p 00e00000 fe:00 123 /opt/my tools/sallyport
Anonymous:             0 kB
01300000-01400000 r--s 00e00000 fe:00 123 /opt/my tools/sallyport
Anonymous:             0 kB
01400000-01500000 r-xp 00000000 fe:00 123 /opt/my tools/sallyport
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 99 /usr/lib/libc.so.6
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00000000 00:00 0
Anonymous:             0 kB
`), "/opt/my tools/sallyport")
	want := []span{{0x400000, 0xae0000}, {0x1400000, 0x1500000}}
	if diff := cmp.Diff(want, list, cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
}

func TestUnmappedProgramGoesOn(t *testing.T) {
	mapped := func() int { return mappedFiles(t, os.Getpid()) }
	before := mapped()
	unmapUnneeded()
	if after := mapped(); after > before/2 {
		t.Errorf("of %d kB of files, %d are still mapped", before, after)
	}
	var help bytes.Buffer
	root := newRoot(&app{out: &help, err: &help})
	root.SetArgs([]string{"help", "node"})
	if err := root.Execute(); err != nil || !strings.Contains(help.String(), "Usage:") {
		t.Errorf("%v: %s", err, &help)
	}
}

// mappedFiles is how many kB of files a process has in memory.
func mappedFiles(t *testing.T, pid int) (kB int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Skip(err)
	}
	return kB
}

// Every program that stays, and waits, gives back what starting took.
func TestIdleProgramsGiveMemoryBack(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	t.Parallel()
	run := func(words ...string) (*output, *exec.Cmd) {
		t.Helper()
		program, err := exec.LookPath("sallyport") // of testscript
		if err != nil {
			t.Fatal(err)
		}
		home, o := t.TempDir(), &output{}
		ctx, cancel := context.WithCancel(context.Background())
		c := exec.CommandContext(ctx, program, words...)
		c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home, "HOME="+home)
		c.Stdout, c.Stderr = o, o
		c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cancel(); _ = c.Wait() })
		return o, c
	}
	served, serve := run("serve", "--json", "--listen", "127.0.0.1", "--mqtt-port", "0", "--stun-port", "0", "--no-turn")
	var ready servedEvent
	if err := json.Unmarshal([]byte(served.await(t, `^(\{"event":"ready".*\})$`)), &ready); err != nil {
		t.Fatal(err)
	}
	use := []string{"--no-lan", "--interface", loopbackName(), "--broker", ready.Brokers[0], "--stun", ready.STUN[0]}
	told, node := run(append([]string{"node", "--allow-forward", "127.0.0.1:1"}, use...)...)
	forwarding, forward := run(append([]string{"forward", "-L", "0:127.0.0.1:1", told.await(t, `^Compact: (\S+)$`)}, use...)...)
	forwarding.await(t, "^Forwarding ")
	waiting := map[string]*exec.Cmd{"serve": serve, "node": node, "forward": forward}
	most := make(map[string]int)
	for begun := time.Now(); len(waiting) > 0; time.Sleep(50 * time.Millisecond) {
		for name, c := range waiting {
			now := mappedFiles(t, c.Process.Pid)
			if most[name] = max(most[name], now); now < most[name]/2 {
				delete(waiting, name)
			} else if time.Since(begun) > patience {
				t.Fatalf("%s has %d kB of files in memory, of %d at most", name, now, most[name])
			}
		}
	}
	t.Logf("at most, in kB: %v", most)
}
