package main

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/code"
	"github.com/sallyport-net/sallyport/node/nickname"
)

func newContact(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "contact",
		Short: "Keep names of your own for other nodes",
		Long: `A contact is a name that holds on this machine only, for an address, a node id or
a nickname. It can be used wherever a TARGET is wanted.`,
		Example: `  sallyport contact add bob ADDRESS
  sallyport connect bob`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("%q is not one of add, list and rm", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newContactAdd(a), newContactList(a), newContactRemove(a))
	return c
}

type contactEvent struct {
	Event  string `json:"event"`
	Name   string `json:"name"`
	Target string `json:"target,omitempty"`
}

func newContactAdd(a *app) *cobra.Command {
	var words string
	var replace bool
	var wait time.Duration
	c := nickCommand(a, "add NAME [TARGET]", "Add a contact",
		`Add a contact, either for TARGET or, with --code, for the node whose owner has
run "sallyport addr --code" and reads the code to you.`,
		`  sallyport contact add bob ADDRESS
  sallyport contact add bob bob.peer
  sallyport contact add bob --code 4821-zebra-acrobat`,
		func(_ *cobra.Command, args []string) error {
			if words != "" {
				return exactly("NAME")(nil, args)
			}
			return exactly("NAME", "TARGET, or --code,")(nil, args)
		},
		func(ctx context.Context, f *nodeFlags, args []string) error {
			if _, err := nickname.ParseLabel(args[0]); err != nil {
				return err
			}
			all, err := contacts()
			if err != nil {
				return err
			}
			target := ""
			if words == "" {
				target = args[1]
			} else {
				// Before the code is used up for nothing.
				if old, there, err := all.Find(args[0]); err != nil {
					return err
				} else if there && !replace {
					return &nickname.ContactExistsError{Contact: nickname.Contact{Name: args[0], Target: old}}
				}
				peer, err := a.takeCode(ctx, f, words, wait)
				if err != nil {
					return err
				}
				target = peer.Address.String()
			}
			added, err := all.Add(args[0], target, replace)
			var parse *address.ParseError
			if errors.As(err, &parse) && parse.Failure == address.UnknownForm {
				return misused("copy the whole address, or take a node id or a nickname", "%q is no TARGET for a contact", target)
			}
			if err != nil {
				return err
			}
			if a.json {
				emit(a.out, contactEvent{"added", added.Name, added.Target})
			}
			a.say("%s is %s.", added.Name, added.Target)
			return nil
		})
	c.Flags().StringVar(&words, "code", "", "one-time `CODE` that the other side shows")
	c.Flags().BoolVar(&replace, "replace", false, "put the new target in place of an old one")
	c.Flags().DurationVar(&wait, "wait", 2*time.Minute, "with --code, wait as long as `D`")
	return c
}

func newContactList(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List all contacts", Long: "List all contacts.",
		Example: `  sallyport contact list`,
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			all, err := contacts()
			if err != nil {
				return err
			}
			list, err := all.List()
			if err != nil {
				return err
			}
			width := 0
			for _, one := range list {
				width = max(width, utf8.RuneCountInString(one.Name))
			}
			for _, one := range list {
				if a.json {
					emit(a.out, contactEvent{"contact", one.Name, one.Target})
				} else {
					fmt.Fprintf(a.out, "%-*s  %s\n", width, one.Name, one.Target)
				}
			}
			if len(list) == 0 {
				a.say("There are no contacts. Try: sallyport contact add bob ADDRESS")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "one JSON object per line")
	return c
}

func newContactRemove(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "rm NAME", Short: "Remove a contact", Long: "Remove a contact.",
		Example: `  sallyport contact rm bob`,
		Args:    exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := contacts()
			if err != nil {
				return err
			}
			was, err := all.Remove(args[0])
			if err != nil {
				return err
			}
			if !was {
				return failed(nil, "try \"sallyport contact list\"", "there is no contact %q", args[0])
			}
			if a.json {
				emit(a.out, contactEvent{Event: "removed", Name: args[0]})
			}
			a.say("%s is removed.", args[0])
			return nil
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "one JSON object per line")
	return c
}

// takeCode meets whoever shows the code.
func (a *app) takeCode(ctx context.Context, f *nodeFlags, text string, wait time.Duration) (code.Peer, error) {
	words, err := code.Parse(text)
	if err != nil {
		return code.Peer{}, err
	}
	cfg, err := a.codeConfig(f)
	if err != nil {
		return code.Peer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var at meeting
	cfg.Opened = at.open
	stop := a.tellIdleOf(at.unanswered(wait, "Nobody with this code yet. Check its number, and that the other side's window is still open."))
	defer stop()
	peer, err := code.Take(ctx, cfg, words)
	if err != nil && !brokerless(err) && context.Cause(ctx) == context.DeadlineExceeded {
		return peer, &failure{status: statusAbsent, what: fmt.Sprintf("nobody with this code was there for %v", short(wait)), hint: "check the number of the code, or wait longer with --wait", cause: err}
	}
	return peer, err
}
