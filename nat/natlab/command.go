package natlab

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"sync"
	"time"
)

// Cmd is an exec.Cmd whose process is born in a host's namespace. Set it up
// as an exec.Cmd, and start it by its own methods.
type Cmd struct {
	*exec.Cmd
	host *Host
	once sync.Once
	err  error
}

// Command prepares a program to run on the host. It is killed when ctx ends,
// when the lab is closed, and by the kernel when this process dies in whatever
// way. What it starts in turn is killed by Close too, but outlives a process
// that dies without it, cut off from any network.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.WaitDelay = time.Second // a grandchild may keep an output pipe open
	return &Cmd{Cmd: c, host: h}
}

// Start is exec.Cmd.Start, on the host. After the lab's Close the error is
// net.ErrClosed.
func (c *Cmd) Start() error {
	return c.host.commands.add(c, func() error {
		return c.host.ns.run(func() error { return startTied(c.Cmd) })
	})
}

// Wait is exec.Cmd.Wait; a second call gives the same error.
func (c *Cmd) Wait() error {
	if c.Process == nil {
		return c.Cmd.Wait() // which says that it was not started
	}
	c.once.Do(func() {
		c.err = c.Cmd.Wait()
		c.host.commands.remove(c)
	})
	return c.err
}

// Run is Start and Wait.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output is exec.Cmd.Output: it runs the command and gives its standard
// output; standard error goes into an exec.ExitError unless it is set.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("natlab: Stdout already set")
	}
	var out, errs bytes.Buffer
	c.Stdout = &out
	captured := c.Stderr == nil
	if captured {
		c.Stderr = &errs
	}
	err := c.Run()
	if exit := (*exec.ExitError)(nil); captured && errors.As(err, &exit) {
		exit.Stderr = errs.Bytes()
	}
	return out.Bytes(), err
}

// CombinedOutput is exec.Cmd.CombinedOutput.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("natlab: Stdout or Stderr already set")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// commands are a host's running processes.
type commands struct {
	mu      sync.Mutex
	running map[*Cmd]struct{}
	used    bool
	closed  bool
}

// add starts c by start and keeps it until remove.
func (s *commands) add(c *Cmd, start func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if err := start(); err != nil {
		return err
	}
	if s.running == nil {
		s.running = map[*Cmd]struct{}{}
	}
	s.running[c] = struct{}{}
	s.used = true
	return nil
}

func (s *commands) remove(c *Cmd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, c)
}

// end lets nothing start any more, kills what runs and waits for it.
func (s *commands) end(ns *namespace) {
	s.mu.Lock()
	s.closed = true
	var left []*Cmd
	for c := range s.running {
		left = append(left, c)
		c.Process.Kill()
	}
	used := s.used
	s.mu.Unlock()
	if used {
		killInside(ns)
	}
	for _, c := range left {
		c.Wait()
	}
}
