package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/code"
	"github.com/sallyport-net/sallyport/node/transfer"
)

// receiveCommand is sallyport receive.
type receiveCommand struct {
	*app
	flags     nodeFlags
	output    string
	wait      time.Duration
	yes       bool
	overwrite bool
	allow     string

	root     *os.Root
	progress transfer.Progress
	offer    transfer.Offer
	accepted map[string]bool // digests of what was said yes to
	remember func(digest string)
	answers  chan string // what is typed, line by line
}

func newReceive(a *app) *cobra.Command {
	r := &receiveCommand{app: a, accepted: make(map[string]bool), remember: func(string) {}}
	c := &cobra.Command{
		Use:   "receive [CODE]",
		Short: "Receive files and folders",
		Long: `Receive what "sallyport send" shows the CODE for. It is shown what comes, and how
large it is, and nothing is received before you say yes. Nothing is ever written
outside the folder of --output, and no file is replaced without --overwrite. Until a
file is whole and verified its name ends in .sallyport.part.

Whatever cuts it off, on either side, the same command goes on where it was, for a
day. Without a CODE, print this node's address and wait for "sallyport send FILE
ADDRESS".

With --json, the address and the result go to standard output, one object per line,
and other events to standard error.`,
		Example: `  sallyport receive 4821-zebra-acrobat
  sallyport receive 4821-zeb-acr --yes --output inbox
  sallyport receive`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 3 {
				return fmt.Errorf("one CODE is enough; %q is too much", args[3])
			}
			return nil
		},
	}
	r.flags.register(a, c)
	fs := c.Flags()
	fs.StringVarP(&r.output, "output", "o", ".", "put it into the folder `DIR`, made if missing")
	fs.DurationVar(&r.wait, "wait", firstWait, "wait for the sender as long as `D`")
	fs.BoolVarP(&r.yes, "yes", "y", false, "do not ask before receiving")
	fs.BoolVar(&r.overwrite, "overwrite", false, "replace files that are there and differ")
	fs.StringVar(&r.allow, "allow", "", "without a CODE, who may send: `WHO` is everyone, or node ids with commas between (default: everyone; with --yes it must be said)")
	fs.BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but questions and errors")
	c.RunE = func(c *cobra.Command, args []string) error {
		var words code.Code
		if len(args) > 0 {
			var err error
			if words, err = code.Parse(strings.Join(args, " ")); err != nil {
				return err
			}
		}
		if err := r.settle(len(args) > 0); err != nil {
			return err
		}
		if err := r.flags.settle(a, c); err != nil {
			return err
		}
		if err := os.MkdirAll(r.output, 0o777); err != nil {
			return failed(err, "try --output with another folder", "the folder %q can't be made: %s", r.output, reasonOf(err))
		}
		var err error
		if r.root, err = os.OpenRoot(r.output); err != nil {
			return failed(err, "try --output with another folder", "%q can't be used as a folder: %s", r.output, reasonOf(err))
		}
		defer r.root.Close()
		begun := time.Now()
		if len(args) > 0 {
			err = r.byCode(c.Context(), words)
		} else {
			err = r.waiting(c.Context())
		}
		if err == nil && len(r.offer.Entries) > 0 {
			r.tellDone(time.Since(begun))
		}
		return err
	}
	return c
}

// settle checks the flags together.
func (r *receiveCommand) settle(withCode bool) error {
	switch {
	case r.wait <= 0:
		return misused("try --wait 2m", "a wait of %v leaves no time", r.wait)
	case r.output == "-":
		return misused(`try "sallyport node" and "sallyport connect ADDRESS", which are pipes`, "files can't go to standard output")
	case withCode && r.allow != "":
		return misused("leave --allow out", "a CODE says already who may send")
	case !withCode && !r.yes && !r.interactive():
		return misused("try --yes with --allow ID", "Not a terminal: nobody could be asked whether to receive what comes")
	case !withCode && r.yes && r.allow == "":
		return misused("try --allow ID, or --allow everyone", "without a CODE, --yes would take files from anybody who knows the address")
	}
	return nil
}

func (r *receiveCommand) move() *move {
	return &move{app: r.app, flags: &r.flags, progress: &r.progress, carry: r.carry}
}

// carry receives over one connection.
func (r *receiveCommand) carry(ctx context.Context, c *node.Conn) error {
	var err error
	r.offer, err = transfer.Receiver{
		Root: r.root, Overwrite: r.overwrite, Progress: &r.progress,
		Accept: func(ctx context.Context, o transfer.Offer) error { return r.ask(ctx, c.Peer(), o) },
	}.Receive(ctx, c)
	return err
}

// byCode takes a code, or goes on with whom it led to.
func (r *receiveCommand) byCode(ctx context.Context, words code.Code) error {
	p, err := remember("receive\x00" + words.String())
	if errors.Is(err, errRunning) {
		return failed(err, "look for its window", "this code is in use by another \"sallyport receive\" here")
	}
	if err != nil {
		return failed(err, "try again", "no key could be made: %v", err)
	}
	defer p.close()
	if p.Done {
		r.say("Everything by this code has been received already.")
		return nil
	}
	r.flags.as = p.key()
	if p.Peer == "" {
		peer, err := r.take(ctx, words)
		if err != nil {
			return err
		}
		p.Code, p.Peer = words.String(), peer.String()
		r.keep(p)
	} else {
		r.say("Going on with the sender of this code.")
	}
	r.accepted[p.Accepted] = true
	r.remember = func(digest string) { p.Accepted = digest; r.keep(p) }
	peer, err := p.peer()
	if err != nil {
		return err
	}
	m := r.move()
	m.absent = noSender
	err = m.call(ctx, peer, r.wait)
	switch {
	case err == nil:
		p.Done, p.Accepted = true, ""
		r.keep(p)
	case m.final && !unattended(err):
		p.drop()
	case ctx.Err() != nil:
		m.tellStopped()
	}
	return err
}

// unattended reports whether the same command with --yes would do.
func unattended(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.status == statusMisused
}

const noSender = "No sender with this code yet. Check its number, and that the sender's window is still open."

func (r *receiveCommand) keep(p *pending) {
	if err := p.keep(); err != nil {
		r.say("Note: this can't be remembered, so that after a kill a new code is needed: %v.", err)
	}
}

// take uses the code.
func (r *receiveCommand) take(ctx context.Context, words code.Code) (address.Address, error) {
	cfg, err := r.codeConfig(&r.flags)
	if err != nil {
		return address.Address{}, err
	}
	wait, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	var at meeting
	cfg.Opened = at.open
	stop := r.tellIdleOf(at.unanswered(r.wait, noSender))
	peer, err := code.Take(wait, cfg, words)
	stop()
	if err == nil {
		return peer.Address, nil
	}
	if ctx.Err() == nil && !brokerless(err) && context.Cause(wait) == context.DeadlineExceeded {
		return peer.Address, &failure{status: statusAbsent, what: fmt.Sprintf("no sender with this code was there for %v", short(r.wait)), hint: "check the number of the code, or wait longer with --wait", cause: err}
	}
	if f := explain(err); f.status == statusWrongCode {
		f.hint = `ask the sender to run "sallyport send FILE" for a new one`
		return peer.Address, f
	}
	return peer.Address, err
}

// waiting prints the address and takes what whoever calls offers.
func (r *receiveCommand) waiting(ctx context.Context) error {
	allow := r.allow
	if allow == "" {
		allow = "everyone"
	}
	admission, err := parseAllow(allow)
	if err != nil {
		return err
	}
	cfg, err := r.nodeConfig(ctx, &r.flags)
	if err != nil {
		return err
	}
	cfg.Admission = &admission
	n, err := r.startNode(ctx, cfg, false)
	if err != nil {
		return err
	}
	compact := compactly(n.Address())
	words := []string{"sallyport", "send"}
	for _, at := range r.flags.stun {
		words = append(words, "--stun", at)
	}
	command := strings.Join(append(words, "FILE", compact), " ")
	if r.json {
		emit(r.out, readyEvent{"ready", n.ID().String(), n.Address().String(), compact, command})
	} else {
		fmt.Fprintf(r.out, "Address: %s\nThere: %s\n", compact, command)
	}
	r.warnHealth(n)
	m := r.move()
	m.patient = true
	m.absent = fmt.Sprintf("Nobody has sent anything yet. Waiting for up to %v.", short(r.wait))
	return m.welcome(ctx, n, address.Key{}, r.wait)
}

type readyEvent struct {
	Event   string `json:"event"`
	ID      string `json:"id"`
	Address string `json:"address"`
	Compact string `json:"compact"`
	Command string `json:"command"`
}

// movedEvent is a transfer that is done: "sent" or "received". Here is how many
// of the bytes were there already.
type movedEvent struct {
	Event string   `json:"event"`
	Files int      `json:"files"`
	Bytes int64    `json:"bytes"`
	Here  int64    `json:"here"`
	MS    float64  `json:"ms"`
	Names []string `json:"names"`
}

func (r *receiveCommand) tellDone(took time.Duration) {
	if r.json {
		st := r.progress.State()
		emit(r.out, movedEvent{"received", st.Count, st.Size, st.Here, milliseconds(took), names(r.offer)})
		return
	}
	r.say("Received %s, verified, into %s.", describe(r.offer), r.where())
}

// where is what the folder is called in a sentence, at the end of which a lone
// dot would not be seen, or be taken for the parent.
func (r *receiveCommand) where() string {
	if filepath.Clean(r.output) == "." {
		return "this folder"
	}
	return r.output
}
