package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/nickname"
)

func newNick(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "nick",
		Short: "Claim, look up and give up nicknames",
		Long: `A nickname stands for a node wherever a TARGET is wanted. There are two kinds:

  alice.peer          registered: first come, first served, with the registries
                      that --registry names
  alice.k3j5x7w2qd    self-certifying: made of a name and the key's hash, kept on
                      the signalling brokers. Nobody can take it over

"sallyport node" keeps the names of its key alive; after seven days without it
they are free.`,
		Example: `  sallyport nick claim alice
  sallyport nick claim alice.peer
  sallyport nick lookup bob.peer`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("%q is not one of claim, show, release, lookup and accept", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newNickClaim(a), newNickShow(a), newNickRelease(a), newNickLookup(a), newNickAccept(a))
	return c
}

// nickCommand is a subcommand of nick, or of contact, with the shared flags.
func nickCommand(a *app, use, short, long, example string, args cobra.PositionalArgs, run func(context.Context, *nodeFlags, []string) error) *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: args}
	f.register(a, c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := f.settle(a, c); err != nil {
			return err
		}
		return run(c.Context(), &f, args)
	}
	return c
}

// exactly wants these arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("a %s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return fmt.Errorf("%q is too much", args[len(names)])
		}
		return nil
	}
}

// publisher signs with the key that the flags name.
func (a *app) publisher(f *nodeFlags, key address.PrivateKey) (nickname.Publisher, error) {
	p := nickname.Publisher{Key: key}
	var err error
	if p.Now, err = wallClock(); err != nil {
		return p, err
	}
	if p.Places, err = a.places(f); err != nil {
		return p, err
	}
	if p.Own, err = ownNames(); err != nil {
		return p, err
	}
	self, err := f.namedAddress(key.Public())
	p.Self = func() address.Address { return self }
	return p, err
}

// namedAddress is what nicknames and codes lead to: the key, and the brokers
// where they are not the public ones. Where the node is at the moment, it tells
// those whom it admits; a name is public.
func (f *nodeFlags) namedAddress(key address.Key) (address.Address, error) {
	brokers, err := f.parseBrokers()
	return address.Address{Key: key, Brokers: brokers}, err
}

// nicknameOf reads a name of ours; one without a dot is self-certifying.
func nicknameOf(text string, key address.Key) (nickname.Name, error) {
	if nickname.LooksLikeName(text) {
		return nickname.ParseName(text)
	}
	return nickname.Certified(text, key)
}

// publishing is what claims and releases a name of this node's.
func (a *app) publishing(f *nodeFlags, text string) (nickname.Publisher, nickname.Name, error) {
	key, err := a.loadKey(f.key)
	if err != nil {
		return nickname.Publisher{}, nickname.Name{}, err
	}
	p, err := a.publisher(f, key)
	if err != nil {
		return nickname.Publisher{}, nickname.Name{}, err
	}
	name, err := nicknameOf(text, key.Public())
	return p, name, err
}

func newNickClaim(a *app) *cobra.Command {
	return nickCommand(a, "claim NAME", "Take a name for this node's key",
		`Take a name. NAME with a dot and a suffix, as alice.peer, is asked of the
registries; without, as alice, it is made self-certifying and needs none. Claim it
again to renew it; "sallyport node" does so by itself.`,
		`  sallyport nick claim alice
  sallyport nick claim alice.peer --registry http://registry.example.org:3481#KEY`,
		exactly("NAME"), func(ctx context.Context, f *nodeFlags, args []string) error {
			p, name, err := a.publishing(f, args[0])
			if err != nil {
				return err
			}
			had, err := p.Own.Names(p.Key.Public())
			if err != nil {
				return err
			}
			r, err := p.Publish(ctx, name)
			if err != nil {
				return notClaimed(p, name, slices.Contains(had, name), err)
			}
			if a.json {
				emit(a.out, nickEventOf("claimed", r))
				return nil
			}
			fmt.Fprintln(a.out, name)
			a.say("%s is this node's until %s, and longer while \"sallyport node\" runs.", name, r.Expires.Local().Format(time.DateTime))
			return nil
		})
}

// notClaimed forgets a name that a registry refuses, so that no node asks for
// it again and again. Where no registry was named, one that is ours already stays.
func notClaimed(p nickname.Publisher, name nickname.Name, ours bool, err error) error {
	var no *nickname.RefusedError
	if errors.As(err, &no) && (no.Status == nickname.Taken || no.Status == nickname.Alike || no.Status == nickname.Full) ||
		errors.Is(err, nickname.ErrNoRegistry) && !ours {
		return errors.Join(err, p.Own.Forget(name))
	}
	return err
}

type nickEvent struct {
	Event    string `json:"event"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	ID       string `json:"id,omitempty"`
	Address  string `json:"address,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	Expires  string `json:"expires,omitempty"` // RFC 3339
	Warning  string `json:"warning,omitempty"`
	Error    string `json:"error,omitempty"`
}

func nickEventOf(event string, r nickname.Record) nickEvent {
	return nickEvent{Event: event, Name: r.Name.String(), Kind: kindOf(r.Name), ID: r.Key.String(),
		Address: r.Address.String(), Sequence: r.Sequence, Expires: r.Expires.Format(time.RFC3339)}
}

func kindOf(n nickname.Name) string {
	if n.SelfCertifying() {
		return "self-certifying"
	}
	return "registered"
}

func newNickShow(a *app) *cobra.Command {
	return nickCommand(a, "show", "Show this node's names, and whether others find them", `Show the names of this node's key, and whether others find them now.`,
		`  sallyport nick show`, exactly(), func(ctx context.Context, f *nodeFlags, _ []string) error {
			key, err := a.loadKey(f.key)
			if err != nil {
				return err
			}
			p, err := a.publisher(f, key)
			if err != nil {
				return err
			}
			names, err := p.Own.Names(key.Public())
			if err != nil {
				return err
			}
			width := 0
			for _, name := range names {
				width = max(width, len(name.String()))
			}
			for _, name := range names {
				r, err := nickname.Choose(p.Now(), name, nickname.Pin{}, p.Places.Fetch(ctx, name))
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case err == nil && r.Key != key.Public():
					err = fmt.Errorf("it belongs to %s now", r.Key)
				}
				switch {
				case a.json && err != nil:
					emit(a.out, nickEvent{Event: "name", Name: name.String(), Kind: kindOf(name), Error: err.Error()})
				case a.json:
					emit(a.out, nickEventOf("name", r))
				case err != nil:
					fmt.Fprintf(a.out, "%-*s  not found: %s\n", width, name, strings.TrimPrefix(err.Error(), name.String()+": "))
				default:
					fmt.Fprintf(a.out, "%-*s  until %s\n", width, name, r.Expires.Local().Format(time.DateTime))
				}
			}
			if len(names) == 0 {
				a.say("This node has no names. Try: sallyport nick claim alice")
			}
			return nil
		})
}

func newNickRelease(a *app) *cobra.Command {
	return nickCommand(a, "release NAME", "Give a name up", `Give a name up. Others may have a registered one at once.`,
		`  sallyport nick release alice.peer`, exactly("NAME"), func(ctx context.Context, f *nodeFlags, args []string) error {
			p, name, err := a.publishing(f, args[0])
			if err != nil {
				return err
			}
			ours, err := p.Owns(ctx, name)
			if err != nil {
				return err
			}
			if !ours {
				return failed(nil, `try "sallyport nick show" for the names that there are, or --key with the key of this one`, "%s is no name of this node, so that there is nothing to give up", name)
			}
			if err := p.Release(ctx, name); err != nil {
				return err
			}
			if err := p.Own.Forget(name); err != nil {
				return err
			}
			if a.json {
				emit(a.out, nickEvent{Event: "released", Name: name.String(), Kind: kindOf(name)})
			}
			a.say("%s is given up.", name)
			return nil
		})
}

// keepNames has the names of a node's key refreshed while it runs.
func (a *app) keepNames(f *nodeFlags, cfg node.Config) (*nickname.Keeper, error) {
	p, err := a.publisher(f, cfg.Key)
	if err != nil {
		return nickname.Keep(nickname.KeeperConfig{}), nil // no home, so no names
	}
	names, err := p.Own.Names(cfg.Key.Public())
	if err != nil {
		return nil, failed(err, `see which with "sallyport nick show", or move the file away and claim them again`, "this node's names can't be read: %s", withoutCalls(err))
	}
	return nickname.Keep(nickname.KeeperConfig{Names: names, Publisher: p, Logger: cfg.Logger, OnResult: func(name nickname.Name, r nickname.Record, err error) {
		e := nickEvent{Event: "name", Name: name.String(), Kind: kindOf(name), Sequence: r.Sequence}
		if err != nil {
			e.Error = err.Error()
			a.say("Warning: the name %s is not published: %v", name, err)
		} else {
			a.say("This node is known as %s.", name)
		}
		if a.json {
			emit(a.out, e)
		}
	}}), nil
}
