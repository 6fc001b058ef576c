package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/transfer"
)

// sendCommand is sallyport send.
type sendCommand struct {
	*app
	flags  nodeFlags
	to     string
	wait   time.Duration
	withQR bool
	toCopy bool
	board  clipboard
	at     meeting
	anew   bool
	slow   string // --limit
	limit  int64  // bytes a second

	paths    []string
	progress transfer.Progress
	src      *transfer.Source
	srcErr   error
	scanned  chan struct{} // closed when src or srcErr is there
}

func newSend(a *app) *cobra.Command {
	s := &sendCommand{app: a, scanned: make(chan struct{})}
	c := &cobra.Command{
		Use:   "send FILE|FOLDER… [TARGET]",
		Short: "Send files and folders",
		Long: `Send files and folders, encrypted and verified. A code of a number and two words
is shown at once; "sallyport receive CODE" on the other machine takes it. It is good
for one receiver. With a TARGET (an address, a node id, a nickname or a contact) no
code is needed: there, "sallyport receive" waits.

Whatever cuts it off, on either side, the same command goes on where it was, for a
day. Symbolic links in folders are left out.

With --json, the code and the result go to standard output, one object per line, and
other events to standard error.`,
		Example: `  sallyport send huge.iso
  sallyport send photos notes.txt
  sallyport send huge.iso bob`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("a FILE or FOLDER is missing")
			}
			return nil
		},
	}
	s.flags.register(a, c)
	fs := c.Flags()
	fs.StringVar(&s.to, "to", "", "the `TARGET`, where the last argument could also be a file")
	fs.DurationVar(&s.wait, "wait", firstWait, "wait for the receiver as long as `D`")
	fs.BoolVar(&s.withQR, "qr", false, "draw the code as a QR code, too")
	fs.BoolVar(&s.toCopy, "copy", false, "put the command for the other side on the clipboard, where the terminal lets it (OSC 52)")
	fs.BoolVar(&s.anew, "new", false, "show a new code, even where an earlier one was cut off")
	fs.StringVar(&s.slow, "limit", "", "send at most `RATE` bytes a second, as 500k or 2M (default: no limit)")
	fs.BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but the code and errors")
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("to") && s.to == "" {
			return misused("leave --to out for a code", "--to names nobody")
		}
		if s.withQR && a.json {
			return misused("leave one of them out", "--json draws no QR code")
		}
		if err := s.settle(args); err != nil {
			return err
		}
		if err := s.flags.settle(a, c); err != nil {
			return err
		}
		if s.toCopy {
			var err error
			if s.board, err = openClipboard(); err != nil {
				return err
			}
		}
		return s.run(c.Context())
	}
	return c
}

// settle tells files from a target, and looks whether they are there.
func (s *sendCommand) settle(args []string) error {
	if s.wait <= 0 {
		return misused("try --wait 2m", "a wait of %v leaves no time", s.wait)
	}
	if s.slow != "" {
		var ok bool
		if s.limit, ok = parseRate(s.slow); !ok {
			return misused("try --limit 2M", "--limit %q is not a number of bytes", s.slow)
		}
	}
	if n := len(args); s.to == "" && n > 1 {
		if _, err := os.Lstat(args[n-1]); errors.Is(err, fs.ErrNotExist) {
			args, s.to = args[:n-1], args[n-1]
		}
	}
	for _, path := range args {
		if path == "-" {
			return misused(`try "sallyport node < FILE" and "sallyport connect ADDRESS", which are pipes`, "standard input can't be sent as a file")
		}
		info, err := os.Stat(path)
		if err != nil {
			why := "can't be read"
			if errors.Is(err, fs.ErrNotExist) {
				why = "is not there"
			}
			return &failure{status: statusMisused, what: fmt.Sprintf("%q %s", path, why), hint: "try it with a file or folder that is", cause: err}
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return misused("try it with a file or folder", "%q is neither a file nor a folder", path)
		}
		if _, err := transfer.TopName(path); err != nil {
			return explainName(err)
		}
		whole, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		s.paths = append(s.paths, whole)
	}
	return nil
}

// parseRate reads a positive number with k, M or G after it, or without.
func parseRate(text string) (int64, bool) {
	unit := int64(1)
	for suffix, u := range map[string]int64{"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = number, u
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > 1e15/unit {
		return 0, false
	}
	return n * unit, true
}

func explainName(err error) error {
	var name *transfer.NameError
	if errors.As(err, &name) {
		return misused(name.Hint(), "%v", name)
	}
	return err
}

func (s *sendCommand) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	scan := func() {
		defer close(ended)
		s.src, s.srcErr = transfer.Scan(ctx, s.paths)
		close(s.scanned)
		if s.srcErr != nil {
			cancel(s.srcErr)
		}
	}
	var err error
	begun := time.Now()
	if s.to != "" {
		go scan()
		err = s.toTarget(ctx)
	} else {
		err = s.byCode(ctx, scan)
	}
	cancel(nil)
	select {
	case <-s.scanned:
		<-ended
		if s.srcErr != nil && !errors.Is(s.srcErr, context.Canceled) {
			return explainScan(s.srcErr)
		}
	default:
	}
	if err == nil {
		s.tellDone(time.Since(begun))
	}
	return err
}

func explainScan(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return failed(err, "try it with what this user may read", "%q can't be read", path.Path)
	}
	return explainName(err)
}

func (s *sendCommand) move() *move {
	return &move{app: s.app, flags: &s.flags, sending: true, progress: &s.progress, carry: s.carry}
}

// carry sends over one connection.
func (s *sendCommand) carry(ctx context.Context, c *node.Conn) error {
	select {
	case <-s.scanned:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.srcErr != nil {
		return s.srcErr
	}
	return transfer.Sender{Source: s.src, Limit: s.limit, Progress: &s.progress}.Send(ctx, c)
}

// toTarget calls whoever waits with "sallyport receive".
func (s *sendCommand) toTarget(ctx context.Context) error {
	peer, err := s.resolvePeer(ctx, &s.flags, s.to)
	if err != nil {
		return err
	}
	err = s.move().call(ctx, peer, s.flags.timeout)
	if ctx.Err() != nil && s.progress.State().Stage > transfer.Meeting {
		s.move().tellStopped()
	}
	return err
}

func (s *sendCommand) tellDone(took time.Duration) {
	st := s.progress.State()
	if s.json {
		emit(s.out, movedEvent{"sent", st.Count, st.Size, st.Here, milliseconds(took), names(s.src.Offer)})
		return
	}
	s.say("Sent %s, verified by the receiver.", describe(s.src.Offer))
	if n := len(s.src.LeftOut); n > 0 {
		s.say("Left out, since neither file nor folder: %d, such as %q.", n, s.src.LeftOut[0])
	}
}
