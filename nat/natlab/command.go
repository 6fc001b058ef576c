package natlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"time"
)

// Cmd is an exec.Cmd whose process is born in the namespace of a host or of a
// kernel NAT. Set it up as an exec.Cmd, and start it by its own methods.
type Cmd struct {
	*exec.Cmd
	ns       *namespace
	commands *commands
	once     sync.Once
	err      error
}

// Command prepares a program to run on the host. It is killed when ctx ends,
// when the lab is closed, and by the kernel when this process dies in whatever
// way. What it starts in turn is killed by Close too, but outlives a process
// that dies without it, cut off from any network.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	return newCmd(ctx, h.ns, &h.commands, name, args)
}

// Command prepares a program to run on the box itself, as Host.Command does on
// a host: a daemon of the router's. Its interfaces are wan and lan. Only a NAT
// with Kernel set has a namespace to run in; on others Start fails.
func (b *Box) Command(ctx context.Context, name string, args ...string) *Cmd {
	if b.kernel == nil {
		c := newCmd(ctx, nil, &b.commands, name, args)
		c.Err = fmt.Errorf("nat %q: commands run on kernel NATs only", b.cfg.Name)
		return c
	}
	return newCmd(ctx, b.kernel.ns, &b.commands, name, args)
}

func newCmd(ctx context.Context, ns *namespace, s *commands, name string, args []string) *Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.WaitDelay = time.Second // a grandchild may keep an output pipe open
	return &Cmd{Cmd: c, ns: ns, commands: s}
}

// Start is exec.Cmd.Start, on the host or box. After the lab's Close the error is
// net.ErrClosed.
func (c *Cmd) Start() error {
	if c.ns == nil {
		return c.Err
	}
	return c.commands.add(c, func() error {
		return c.ns.run(func() error { return startTied(c.Cmd) })
	})
}

// Wait is exec.Cmd.Wait; a second call gives the same error.
func (c *Cmd) Wait() error {
	if c.Process == nil {
		return c.Cmd.Wait() // which says that it was not started
	}
	c.once.Do(func() {
		c.err = c.Cmd.Wait()
		c.commands.remove(c)
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

// commands are a host's or a box's running processes.
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
