package natlab

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it lives as long as its
// file is open, or a thread, a process or a socket is in it.
type namespace struct {
	file *os.File // what setns takes
	// home is a thread in the namespace that lives until close. Processes are
	// forked there: they are born in the namespace, and the kernel kills them
	// when that thread ends (PR_SET_PDEATHSIG looks at the thread).
	work  chan func()
	ended chan struct{}
	once  sync.Once
	mu    sync.RWMutex // held for reading while work is sent
	dead  bool
}

func newNamespace() (*namespace, error) {
	ns := &namespace{work: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error)
	go ns.live(ready)
	if err := <-ready; err != nil {
		<-ns.ended
		return nil, err
	}
	return ns, nil
}

// live runs in the home thread, which ends with it, since it stays locked.
func (ns *namespace) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread never ends, and it stands for the process in /proc.
		// It is held until another has taken over.
		over := make(chan error)
		go ns.live(over)
		err := <-over
		runtime.UnlockOSThread()
		ready <- err
		return
	}
	defer close(ns.ended)
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err != nil {
		ready <- fmt.Errorf("new network namespace: %w", err)
		return
	}
	ns.file, err = os.Open("/proc/thread-self/ns/net")
	ready <- err
	if err != nil {
		return
	}
	for f := range ns.work {
		f()
	}
}

// run has the home thread run f and waits for it. f must be brief.
func (ns *namespace) run(f func() error) error {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if ns.dead {
		return net.ErrClosed
	}
	err := make(chan error, 1)
	ns.work <- func() { err <- f() }
	return <-err
}

// enter runs f on the caller's goroutine with its thread in the namespace.
func (ns *namespace) enter(f func() error) error {
	runtime.LockOSThread()
	was, err := ns.swap()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A thread that can't go back stays locked and ends with its goroutine.
		if setns(was) == nil {
			runtime.UnlockOSThread()
		}
		was.Close()
	}()
	return f()
}

// swap moves the calling thread into the namespace and gives the one it was in.
func (ns *namespace) swap() (was *os.File, err error) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if ns.dead {
		return nil, net.ErrClosed
	}
	if was, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, err
	}
	if err := setns(ns.file); err != nil {
		was.Close()
		return nil, fmt.Errorf("enter network namespace: %w", err)
	}
	return was, nil
}

func setns(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = unix.Setns(int(fd), unix.CLONE_NEWNET) })
	if err != nil {
		return err
	}
	return failed
}

// close ends the home thread, and with it every process forked there.
func (ns *namespace) close() {
	ns.once.Do(func() {
		ns.mu.Lock()
		ns.dead = true
		ns.mu.Unlock()
		close(ns.work)
		<-ns.ended
		ns.file.Close()
	})
}

// inode tells namespaces apart.
func (ns *namespace) inode() (uint64, error) {
	var s unix.Stat_t
	conn, err := ns.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), &s) }); err != nil {
		return 0, err
	}
	return s.Ino, failed
}
