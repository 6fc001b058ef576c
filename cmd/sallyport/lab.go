package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/program"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/stage"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// labPatience is how long commands have to end after they were asked to.
const labPatience = 5 * time.Second

type lab struct {
	*app
	hosts    []string
	delay    time.Duration
	noServer bool
}

func newLab(a *app) *cobra.Command {
	l := &lab{app: a}
	c := &cobra.Command{
		Use:   "lab [flags] -- [NAME:] COMMAND… [--- [NAME:] COMMAND…]…",
		Short: "Run commands on hosts behind simulated NATs (Linux)",
		Long: `Run commands on hosts behind simulated NATs. Each host is a network namespace
with one way out, through its NAT, to a closed internet on this machine, where a
broker and a STUN server run ("sallyport serve"). Root is not needed where the
kernel has unprivileged user namespaces.

Without --host there are two: a, behind a port-restricted NAT, and b, behind a
symmetric one that counts ports up. NAT is one of
  ` + strings.Join(stage.NATs, ", ") + `
(symmetric+N counts up by N for every peer, dependent+N only for consecutive
local ports, kernel is Linux's own masquerade) or @NAME for the NAT of another
host. After it, options with commas between: delay=20ms (one way), jitter=5ms,
loss=1%, refuse=drop|rst|icmp, carrier=NAT (a second NAT in front).

Commands are separated by ---; each runs on the host it names, or on the hosts
in their order. "sallyport" is this program. On each host it has a home of its
own, with a key, the lab's broker and STUN servers. {NAME} in a command stands
for the address of that host's node, {NAME.ip} for its IP address; so do the
variables SALLYPORT_LAB_NAME and SALLYPORT_LAB_NAME_IP, and there are
SALLYPORT_LAB_BROKER and SALLYPORT_LAB_STUN.

The last command gets standard input; when it ends, so does the lab, with its
exit status. SIGINT and SIGTERM are passed on.

With --json, standard error begins with one object: the hosts, their addresses and
what stands for {NAME}, and the servers. Standard output is the commands'.`,
		Example: `  sallyport lab -- sallyport nat
  sallyport lab -- sallyport node --echo --- sallyport ping {a}
  sallyport lab --host a:full-cone,delay=40ms --host b:symmetric,refuse=rst -- a: sallyport node --echo --- b: sallyport connect -v {a}
  sallyport lab --host a:kernel,carrier=symmetric -- sh`,
		Args: someCommand,
		RunE: func(c *cobra.Command, args []string) error {
			return l.run(c.Context(), args)
		},
	}
	c.Flags().StringArrayVar(&l.hosts, "host", nil, "a host, as `NAME:NAT[,OPTION…]`; repeatable")
	c.Flags().DurationVar(&l.delay, "delay", 20*time.Millisecond, "one-way delay `D` of each host's way to the internet")
	c.Flags().BoolVar(&l.noServer, "no-server", false, "leave out the broker and the STUN server")
	c.Flags().BoolVar(&a.json, "json", false, "tell of the hosts, and of errors, in JSON on standard error")
	c.Flags().BoolVarP(&a.verbose, "verbose", "v", false, "show the causes of errors")
	c.Flags().SetInterspersed(false)
	c.DisableFlagsInUseLine = true // what follows -- is not for us
	return c
}

// describe reads the hosts and the commands.
func (l *lab) describe(args []string) (hosts []stage.Host, parts []labPart, err error) {
	list := l.hosts
	if len(list) == 0 {
		list = []string{"a:port-restricted", "b:symmetric+1"}
	}
	if l.delay < 0 || l.delay > 10*time.Second {
		return nil, nil, misused("try --delay 20ms", "--delay %v is not 0 to 10s", l.delay)
	}
	var names []string
	seen := map[string]bool{}
	for _, s := range list {
		h, err := stage.ParseHost(s, l.delay)
		if err == nil && seen[h.Name] {
			err = fmt.Errorf("there are two hosts %q", h.Name)
		}
		if err != nil {
			return nil, nil, misused("try --host a:port-restricted,delay=20ms", "--host: %v", err)
		}
		seen[h.Name] = true
		names = append(names, h.Name)
		hosts = append(hosts, h)
	}
	parts, err = splitCommands(args, names)
	if err != nil {
		return nil, nil, misused("try sallyport lab -- a: COMMAND --- b: COMMAND", "%v", err)
	}
	return hosts, parts, nil
}

func (l *lab) run(ctx context.Context, args []string) error {
	hosts, parts, err := l.describe(args)
	if err != nil {
		return err
	}
	natlab.Main() // does not return where it has to run this program again
	if err := natlab.Available(); err != nil {
		return failed(err, "try it on Linux, as root or where the kernel has unprivileged user namespaces", "the laboratory can't run here: %v", err)
	}
	s, err := stage.New(stage.Config{Apart: program.Apart}) // ^C is for us to pass on
	if err != nil {
		return explainStage(err)
	}
	defer s.Close()
	for _, h := range hosts {
		if err := s.AddHost(h); err != nil {
			return explainStage(err)
		}
	}
	if !l.noServer {
		if err := s.Serve(context.WithoutCancel(ctx), l.err); err != nil {
			return explainStage(err)
		}
	}
	if l.json {
		e := labEvent{Event: "lab", Hosts: s.Sights()}
		if !l.noServer {
			places := s.Places()
			e.Servers = &places
		}
		emit(l.err, e)
	}
	return l.play(ctx, s, parts)
}

// labEvent is the hosts, and what serves them.
type labEvent struct {
	Event   string        `json:"event"`
	Hosts   []stage.Sight `json:"hosts"`
	Servers *serve.Places `json:"servers,omitempty"`
}

// labEndedEvent is a command that has ended before the last one, and not well.
type labEndedEvent struct {
	Event string `json:"event"`
	Host  string `json:"host"`
	Error string `json:"error"`
}

// explainStage gives an error of the stage its exit status.
func explainStage(err error) error {
	var host stage.HostError
	if errors.As(err, &host) {
		return misused("try sallyport lab --help, which lists the NATs", "%v", err)
	}
	return failed(errors.Unwrap(err), "try it again with -v", "%v", err)
}

// play runs the commands, and ends with the last one.
func (l *lab) play(ctx context.Context, s *stage.Stage, parts []labPart) error {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	var running []*exec.Cmd
	var last stage.Runner
	var flush []func()
	var over atomic.Bool // the last one is, so that the others are asked to end
	for n, p := range parts {
		words := s.Expand(p.command)
		c, run := s.Machine(p.host).Command(background, words[0], words[1:]...)
		if len(parts) == 1 {
			c.Stdout, c.Stderr = os.Stdout, os.Stderr
		} else {
			out, errs := &labelled{w: l.out, label: p.host + "| "}, &labelled{w: l.err, label: p.host + "| "}
			c.Stdout, c.Stderr = out, errs
			flush = append(flush, out.flush, errs.flush)
		}
		if n == len(parts)-1 {
			c.Stdin, last = l.in, run
		}
		if err := run.Start(); err != nil {
			return failed(err, "check its name, or give its whole path", "the command on host %q did not start: %s", p.host, unstarted(words[0], err))
		}
		running = append(running, c)
		if run != last {
			waiting.Go(func() {
				if err := run.Wait(); err != nil && !over.Load() && ctx.Err() == nil {
					l.say("The command on host %s has ended: %v.", p.host, err)
					if l.json {
						emit(l.err, labEndedEvent{"ended", p.host, err.Error()})
					}
				}
			})
		}
	}
	ended := make(chan error, 1)
	waiting.Go(func() { ended <- last.Wait() })
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		l.passOn(ctx, running)
		select {
		case err = <-ended:
		case <-time.After(labPatience):
			cancel()
			err = <-ended
		}
	}
	over.Store(true)
	// The others are asked to end, and then made to.
	for _, c := range running {
		_ = c.Process.Signal(syscall.SIGTERM) // which fails for one that has ended
	}
	stop := time.AfterFunc(labPatience, cancel)
	defer stop.Stop()
	waiting.Wait()
	for _, f := range flush {
		f()
	}
	return statusOf(err)
}

// unstarted says why a program did not start.
func unstarted(name string, err error) string {
	var missing *exec.Error
	if errors.As(err, &missing) {
		return fmt.Sprintf("there is no program %q", name)
	}
	return fmt.Sprintf("%q: %s", name, reasonOf(err))
}

// passOn hands a signal on to the commands. An interrupt typed at a terminal
// has gone to all of them already.
func (l *lab) passOn(ctx context.Context, running []*exec.Cmd) {
	var s signalled
	if !errors.As(context.Cause(ctx), &s) || s.Signal == os.Interrupt && l.interactive() {
		return
	}
	for _, c := range running {
		_ = c.Process.Signal(s.Signal)
	}
}

// statusOf makes the end of a command into our own.
func statusOf(err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return failed(err, "try it again with -v", "the command failed: %v", err)
	case exit.ExitCode() >= 0:
		return exited(exit.ExitCode())
	}
	if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return exited(128 + int(w.Signal()))
	}
	return exited(statusFailed)
}
