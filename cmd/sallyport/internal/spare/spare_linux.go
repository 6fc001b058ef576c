package spare

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spareAfter is how long after its start a program that stays gives memory
	// back, and spareEvery how often it looks then.
	spareAfter = 5 * time.Second
	spareEvery = time.Minute
	// idleCPU is how much of the processor's time it may have used since the last
	// look and still be idle. Giving back takes some 5 ms, and taking again less.
	idleCPU = 200 * time.Millisecond
)

// WhileIdle gives memory back as Now does, from time to time while this process is
// idle, until stop is called, which waits for that.
func WhileIdle() (stop func()) {
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		used := cpuUsed()
		for next := time.After(spareAfter); ; next = time.After(spareEvery) {
			select {
			case <-next:
			case <-over:
				return
			}
			now := cpuUsed()
			if now-used < idleCPU {
				Now()
			}
			used = now
		}
	})
	return func() { close(over); running.Wait() }
}

// Now gives back what starting or a connection has taken and waiting does not need:
// garbage, free memory and the pages of the program itself. What is needed after all
// comes back by itself.
func Now() {
	debug.FreeOSMemory()
	unmapUnneeded()
}

// cpuUsed is the processor's time that this process has used.
func cpuUsed() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// unmapUnneeded drops the pages of this program's own file from its memory. At
// each first touch the kernel maps the sixteen pages around, so that starting
// leaves nearly all of the program resident; what waiting needs, a tenth, comes
// back by itself, out of the page cache. That nothing is lost, the kernel itself
// says: only what it counts as an unchanged copy of the file is dropped.
func unmapUnneeded() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, s := range pristine(f, program) {
		// golang.org/x/sys/unix.Madvise wants a slice, and there is no Go memory here.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED)
	}
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// pristine finds in a list as /proc/self/smaps where a file is mapped that can't
// be written there and never was: a page that was, by a loader that relocates or by a
// debugger, is anonymous memory, and dropping it would lose what was written.
func pristine(smaps io.Reader, file string) (list []span) {
	var now span
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		words := strings.Fields(line)
		if len(words) >= 5 && !strings.HasSuffix(words[0], ":") {
			now = span{}
			if rights := words[1]; strings.HasPrefix(rights, "r-") && strings.HasSuffix(rights, "p") && strings.HasSuffix(line, " "+file) {
				if _, err := fmt.Sscanf(words[0], "%x-%x", &now.from, &now.to); err != nil {
					now = span{}
				}
			}
			continue
		}
		if strings.HasPrefix(line, "Anonymous:") && now != (span{}) && len(words) == 3 && words[1] == "0" {
			list = append(list, now)
		}
	}
	return list
}
