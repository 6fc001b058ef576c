package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/configfile"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// Exit statuses. They are a promise to scripts.
const (
	statusDone        = 0
	statusFailed      = 1
	statusMisused     = 2
	statusWrongCode   = 3
	statusAbsent      = 4
	statusNoNetwork   = 5
	statusRefused     = 6
	statusInterrupted = 130
	statusTerminated  = 143 // 128 + SIGTERM, as shells have it
)

// failure is an error that is fit for people: what happened in one sentence,
// one thing to try, and the exit status. The cause is shown with -v only.
type failure struct {
	status int
	what   string
	hint   string
	cause  error
	event  any // what --json prints instead of the usual event; may be nil
}

func (f *failure) Error() string { return f.what }
func (f *failure) Unwrap() error { return f.cause }

// misused is the failure of a command line or a configuration.
func misused(hint, format string, args ...any) error {
	return &failure{status: statusMisused, what: fmt.Sprintf(format, args...), hint: hint}
}

// failed is any other failure.
func failed(cause error, hint, format string, args ...any) error {
	return &failure{status: statusFailed, what: fmt.Sprintf(format, args...), hint: hint, cause: cause}
}

// exited asks for an exit status that needs no words.
type exited int

func (e exited) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// explain makes a failure of any error.
func explain(err error) *failure {
	var f *failure
	var parse *address.ParseError
	var mute *control.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &mute):
		return &failure{status: statusFailed, what: mute.Error(), hint: mute.Hint(), cause: mute.Unwrap()}
	case errors.As(err, &parse):
		return &failure{status: statusMisused, what: parse.Error(), hint: "copy the whole address again; sallyport addr ADDRESS takes one apart", cause: nil}
	case naming(err):
		return explainNaming(err)
	case errors.Is(err, link.ErrRefused):
		return &failure{status: statusRefused, what: "the peer refuses this node", hint: `ask the peer to start its node with --allow and your node id, which "sallyport addr" shows`, cause: err}
	case errors.Is(err, link.ErrBusy):
		return &failure{status: statusFailed, what: "the peer has no room for another connection now", hint: "try again in a moment", cause: err}
	case errors.Is(err, link.ErrLost):
		return &failure{status: statusFailed, what: "the connection was made, but lost a race on the peer's side", hint: "try again", cause: err}
	case brokerless(err):
		return &failure{status: statusNoNetwork, what: "no signalling broker could be reached", hint: "try another network, or another broker with --broker", cause: err}
	}
	var h interface{ Hint() string }
	f = &failure{status: statusFailed, what: err.Error()}
	if path, bare := err.(*fs.PathError); bare {
		f.what, f.cause = fmt.Sprintf("%q can't be used: %v", path.Path, path.Err), err
	}
	if errors.As(err, &h) {
		f.hint = h.Hint()
	}
	return f
}

// brokerless reports whether err is, or comes from, that no broker was reached.
func brokerless(err error) bool {
	var brokers *mqtt.BrokersError
	return errors.Is(err, signaling.ErrNoBroker) || errors.As(err, &brokers) && brokers.Op == "open"
}

// report tells how it ended, and gives the exit status. cause is why the
// context ended, nil while it lasts.
func (a *app) report(c *cobra.Command, err, cause error) int {
	var code exited
	var sig signalled
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &code):
		return int(code)
	case errors.As(cause, &sig):
		return sig.status()
	}
	if !a.running {
		a.json = a.json || asksForJSON(a.args) // a flag before it may be the one that is wrong
		if c == c.Root() && len(a.args) > 0 && !strings.HasPrefix(a.args[0], "-") {
			err = unknownCommand(c, a.args[0]) // which flags it has can't be said
		}
		err = misusedByCobra(c, err)
	}
	f := explain(err)
	if a.json {
		if f.event == nil {
			f.event = errorEvent{Event: "error", Error: f.what, Hint: f.hint, Status: f.status}
		}
		emit(a.err, f.event)
		return f.status
	}
	var b strings.Builder
	fmt.Fprintf(&b, "error: %s\n", f.what)
	if f.hint != "" {
		fmt.Fprintf(&b, "hint: %s\n", tryThis(f.hint))
	}
	if a.verbose && f.cause != nil {
		fmt.Fprintf(&b, "cause: %v\n", f.cause)
	}
	_, _ = a.err.Write([]byte(b.String()))
	return f.status
}

// asksForJSON reports whether a command line that was not understood has --json.
func asksForJSON(args []string) bool {
	if n := slices.Index(args, "--"); n >= 0 {
		args = args[:n]
	}
	return slices.Contains(args, "--json")
}

type errorEvent struct {
	Event  string `json:"event"`
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status"`
}

// tryThis makes every hint begin alike.
func tryThis(hint string) string {
	if strings.HasPrefix(hint, "try ") {
		return hint
	}
	return "try this: " + hint
}

// misusedByCobra is for what cobra says of a command line: a flag that it does
// not know, or a wrong number of arguments.
func misusedByCobra(c *cobra.Command, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		return misused("try "+c.CommandPath()+" --help", "--%s %q is not %s", bad.GetFlag().Name, bad.GetValue(), configfile.Wanted(bad.GetFlag()))
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return unknownFlag(c, unknown)
	}
	what, _, _ := strings.Cut(err.Error(), "\n")
	return misused("try "+c.CommandPath()+" --help", "%s", what)
}

// unknownFlag is for a flag that a command does not have, and the nearest one
// that it has.
func unknownFlag(c *cobra.Command, unknown *pflag.NotExistError) error {
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		name = "-" + name
	} else {
		name = "--" + name
	}
	hint := "try " + c.CommandPath() + " --help"
	switch near := nearest(strings.TrimLeft(name, "-"), flagNames(c)); {
	case c == c.Root():
		hint = "put flags behind the command, as in sallyport node --echo"
	case near != "":
		hint = "try --" + near
	}
	return misused(hint, "there is no flag %s", name)
}

// flagNames are those that help shows.
func flagNames(c *cobra.Command) (names []string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}

// withoutCalls is what err says of a file, less the names of the system's calls
// and of the paths that they were given.
func withoutCalls(err error) string {
	text := err.Error()
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return strings.Replace(text, path.Error(), path.Err.Error(), 1)
	case errors.As(err, &link):
		return strings.Replace(text, link.Error(), link.Err.Error(), 1)
	}
	return text
}

// oneTarget wants the peer that a command is about, and nothing else.
func oneTarget(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("a TARGET is missing: an address, a node id, a nickname or a contact")
	case len(args) > 1:
		return fmt.Errorf("one TARGET is enough; %q is too much", args[1])
	}
	return nil
}

// atMostOneTarget is oneTarget where there may be none.
func atMostOneTarget(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneTarget(c, args)
}

// nothingElse is for commands that take flags only.
func nothingElse(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much: this command takes flags only", args[0])
	}
	return nil
}

// someCommand is for lab.
func someCommand(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("there is nothing to run")
	}
	return nil
}
