package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/spare"
)

// What was given back comes again when it is needed.
func TestUnmappedProgramGoesOn(t *testing.T) {
	before, ok := mappedFiles(os.Getpid())
	if !ok {
		t.Skip("this kernel does not tell what is mapped")
	}
	spare.Now()
	if after, _ := mappedFiles(os.Getpid()); after > before/2 {
		t.Errorf("of %d kB of files, %d are still mapped", before, after)
	}
	var help bytes.Buffer
	root := newRoot(&app{out: &help, err: &help})
	root.SetArgs([]string{"help", "node"})
	if err := root.Execute(); err != nil || !strings.Contains(help.String(), "Usage:") {
		t.Errorf("%v: %s", err, &help)
	}
}

// mappedFiles is how many kB of files a process has in memory, if the kernel tells.
func mappedFiles(pid int) (kB int, ok bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	_, err = fmt.Sscan(rest, &kB)
	return kB, err == nil
}

// resident is how many kB of files a program has in memory, and the most it had.
type resident struct {
	mu        sync.Mutex
	now, most int
}

// watchResident looks from now on until the test ends.
func watchResident(t *testing.T, pid int) *resident {
	r := &resident{}
	ended := make(chan struct{})
	var looking sync.WaitGroup
	t.Cleanup(func() { close(ended); looking.Wait() })
	looking.Go(func() {
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
			case <-ended:
				return
			}
			now, ok := mappedFiles(pid)
			if !ok {
				continue
			}
			r.mu.Lock()
			r.now, r.most = now, max(r.most, now)
			r.mu.Unlock()
		}
	})
	return r
}

func (r *resident) seen() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.most
}

// Every program that stays, and waits, gives back what starting took.
func TestIdleProgramsGiveMemoryBack(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	t.Parallel()
	if _, ok := mappedFiles(os.Getpid()); !ok {
		t.Skip("this kernel does not tell what is mapped")
	}
	waiting := make(map[string]*resident)
	run := func(words ...string) *output {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		c := exec.CommandContext(ctx, lookPath(t, "sallyport"), words...)
		o := startProgram(t, c, c, t.TempDir(), cancel)
		waiting[words[0]] = watchResident(t, c.Process.Pid)
		return o
	}
	var ready servedEvent
	served := run("serve", "--json", "--listen", "127.0.0.1", "--mqtt-port", "0", "--stun-port", "0", "--alternate-port", "0", "--no-turn")
	if err := json.Unmarshal([]byte(served.await(t, `^(\{"event":"ready".*\})$`)), &ready); err != nil {
		t.Fatal(err)
	}
	use := []string{"--no-lan", "--interface", loopbackName(), "--broker", ready.Brokers[0], "--stun", ready.STUN[0]}
	told := run(append([]string{"node", "--allow-forward", "127.0.0.1:1"}, use...)...)
	run(append([]string{"forward", "-L", "0:127.0.0.1:1", told.await(t, `^Compact: (\S+)$`)}, use...)...).await(t, "^Forwarding ")
	// Who was not idle at the first look, 5 s after its start, is looked at again after
	// a minute: on a machine that is busy, its start alone takes that long.
	for deadline := time.Now().Add(3 * time.Minute); len(waiting) > 0; time.Sleep(50 * time.Millisecond) {
		for name, r := range waiting {
			if now, most := r.seen(); now > 0 && now < most/2 {
				t.Logf("%s has %d kB of files in memory, of %d at most", name, now, most)
				delete(waiting, name)
			} else if time.Now().After(deadline) {
				t.Fatalf("%s has %d kB of files in memory, of %d at most", name, now, most)
			}
		}
	}
}
