package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/node/api"
)

const (
	// defaultListen is where the API and its page are.
	defaultListen = "127.0.0.1:12333"
	// upTime is how long a node may take to come up, or to go down.
	upTime = 30 * time.Second
	// lookAgain is how often is looked whether it has.
	lookAgain = 20 * time.Millisecond
)

// up is sallyport up.
type up struct {
	nodeCommand
	listen     string
	foreground bool
	detached   bool // we are the process in the background
	open       bool
}

func newUp(a *app) *cobra.Command {
	u := &up{nodeCommand: nodeCommand{app: a}}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a node in the background, which other commands and programs use",
		Long: `Run a node in the background, until "sallyport down". connect, ping, forward, nat,
why and addr use it, as long as no flag of theirs says how a node is to be, and so
do other programs: it has an HTTP API, on a Unix socket and on 127.0.0.1:12333 with
a token, and a page. "sallyport status" says where they are, and how the node is.

What arrives goes to --echo, --forward or --exec, as with "sallyport node", and
without one of them to the clients of the API. "sallyport forward" of peers gets
what --allow-forward and --allow-listen allow, beside that.

With --foreground, stay; this is for service managers such as systemd.`,
		Example: `  sallyport up
  sallyport up --open                 print a link to the node's page, too
  sallyport up --forward 127.0.0.1:22
  sallyport status
  sallyport down`,
		Args: nothingElse,
	}
	u.register(c)
	fs := c.Flags()
	fs.StringVar(&u.listen, "listen", "", "where on loopback the API and the page are, as `HOST:PORT`, or none (default: "+defaultListen+", or any port where that is taken)")
	fs.BoolVar(&u.foreground, "foreground", false, "don't go to the background")
	fs.BoolVar(&u.open, "open", false, "print a link that opens the node's page once")
	fs.BoolVar(&u.detached, "detached", false, "")
	_ = fs.MarkHidden("detached")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if u.detached {
			a.json = false // the log is for people
		}
		if err := u.sinks.fromCommandLine(c); err != nil {
			return err
		}
		if err := u.flags.settle(a, c); err != nil {
			return err
		}
		if err := u.check(); err != nil {
			return err
		}
		if u.foreground || u.detached {
			return u.stay(c.Context())
		}
		return u.leave(c.Context())
	}
	return c
}

// check finds out here what is wrong, rather than in the background.
func (u *up) check() error {
	if _, err := parseAllow(u.allow); err != nil {
		return err
	}
	if _, err := parseBirthday(u.birth); err != nil {
		return err
	}
	if _, err := u.relay.relaying(); err != nil {
		return err
	}
	if _, err := u.sinks.sink(u.app, false, func() sink { return nil }); err != nil {
		return err
	}
	if u.listen == "" || u.listen == "none" {
		return nil
	}
	host, port, err := net.SplitHostPort(u.listen)
	if ip := net.ParseIP(host); err != nil || port == "" || ip == nil || ip.To4() == nil || !ip.IsLoopback() {
		return misused("try --listen "+defaultListen, "--listen %q is not an address and port of 127.0.0.0/8", u.listen)
	}
	return nil
}

// alreadyUp tells of a node that is up already.
func alreadyUp(pid int) error {
	return failed(nil, `try "sallyport status", or "sallyport down" first`, "a node runs in the background already (process %d)", pid)
}

// leave starts the process in the background, and waits until it is up.
func (u *up) leave(ctx context.Context) error {
	files, err := upPaths()
	if err != nil {
		return err
	}
	if c := u.background(&nodeFlags{}); c != nil {
		if st, err := c.Status(ctx); err == nil {
			return alreadyUp(st.PID)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return failed(err, "start it by its whole path", "this program can't find itself")
	}
	if err := os.MkdirAll(filepath.Dir(files.log), 0o700); err != nil {
		return homeTrouble(err, filepath.Dir(files.log))
	}
	log, err := openLog(files.log)
	if err != nil {
		return homeTrouble(err, files.log)
	}
	defer log.Close()
	before, err := log.file.Seek(0, io.SeekEnd)
	if err != nil {
		return homeTrouble(err, files.log)
	}
	c := exec.Command(exe, append(withoutOpen(os.Args[1:]), "--detached")...)
	c.Stdout, c.Stderr = log.file, log.file
	detach(c)
	if err := c.Start(); err != nil {
		return failed(err, `try "sallyport up --foreground"`, "the node can't be started in the background: %s", reasonOf(err))
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }() // it outlives us, mostly
	st, err := u.awaitUp(ctx, files, c.Process.Pid, ended)
	if err != nil {
		var gone *exec.ExitError
		if errors.As(err, &gone) {
			return u.fellOver(files.log, before, gone.ExitCode())
		}
		_ = terminate(c.Process)
		return err
	}
	return u.tellUp(ctx, files, st)
}

// withoutOpen takes --open out of the arguments: the link is for us to print.
func withoutOpen(args []string) []string {
	var rest []string
	for _, arg := range args {
		if arg != "--open" && !strings.HasPrefix(arg, "--open=") {
			rest = append(rest, arg)
		}
	}
	return rest
}

// awaitUp waits until the process answers.
func (u *up) awaitUp(ctx context.Context, files upFiles, pid int, ended <-chan error) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, upTime)
	defer cancel()
	c := newControl(files)
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = failed(nil, `look into the log, or try "sallyport up --foreground"`, "the node has ended at once; its log is %s", files.log)
			}
			return api.Status{}, err
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return api.Status{}, failed(nil, "look into "+files.log, "the node did not come up within %v", upTime)
			}
			return api.Status{}, context.Cause(ctx)
		case <-look.C:
		}
		if st, err := c.Status(ctx); err == nil && st.PID == pid {
			return st, nil
		}
	}
}

// fellOver says why the process in the background has ended, in its own words.
func (u *up) fellOver(path string, from int64, status int) error {
	f := &failure{status: status, what: "the node did not start; its log is " + path}
	file, err := os.Open(path)
	if err != nil {
		return f
	}
	defer file.Close()
	text, _ := io.ReadAll(io.NewSectionReader(file, from, 64<<10))
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if what, ok := strings.CutPrefix(line, "error: "); ok {
			f.what = what
		}
		if hint, ok := strings.CutPrefix(line, "hint: "); ok {
			f.hint = strings.TrimPrefix(hint, "try this: ")
		}
	}
	return f
}

// tellUp says that a node is up, and how to use it.
func (u *up) tellUp(ctx context.Context, files upFiles, st api.Status) error {
	compact := cmp.Or(st.Address.Compact, st.Address.Address) // as compactly has it
	e := upEvent{Event: "up", PID: st.PID, ID: st.Address.ID, Address: st.Address.Address, Compact: compact, Connect: u.pasteable(compact), Relay: u.relay.flag(compact), Socket: files.socket, URL: st.URL, TokenFile: files.token, Log: files.log}
	if u.open {
		var err error
		if e.Link, err = newControl(files).Link(ctx); err != nil {
			return err
		}
	}
	if u.json {
		emit(u.out, e)
		return nil
	}
	fmt.Fprintf(u.out, "Address: %s\nCompact: %s\nConnect: %s\n", e.Address, e.Compact, e.Connect)
	if e.Relay != "" {
		fmt.Fprintf(u.out, "Relay:   %s\n", e.Relay)
	}
	if e.Link != "" {
		fmt.Fprintf(u.out, "Page:    %s\n", e.Link)
	}
	if st.Health.Broker != "" {
		u.say("Warning: no signalling broker answers yet; they are tried again.")
	}
	u.say("A node runs in the background (process %d). \"sallyport status\" says how it is, \"sallyport down\" ends it.", st.PID)
	return nil
}

type upEvent struct {
	Event     string `json:"event"`
	PID       int    `json:"pid"`
	ID        string `json:"id"`
	Address   string `json:"address"`
	Compact   string `json:"compact"`
	Connect   string `json:"connect"`
	Relay     string `json:"relay,omitempty"` // the flag with which others have this node relay
	Socket    string `json:"socket"`
	URL       string `json:"url,omitempty"`
	Link      string `json:"link,omitempty"`
	TokenFile string `json:"token_file"`
	Log       string `json:"log"`
}
