package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/nickname"
)

func newNickLookup(a *app) *cobra.Command {
	return nickCommand(a, "lookup NAME", "Find whose a name is, and their address",
		`Look a name up and print its address. The first time, its key is remembered;
a key that has changed since is refused. A contact's name works too.`,
		`  sallyport nick lookup bob.peer`, exactly("NAME"), func(ctx context.Context, f *nodeFlags, args []string) error {
			r, err := a.resolver(f)
			if err != nil {
				return err
			}
			found, err := r.Resolve(ctx, args[0])
			if err != nil {
				return err
			}
			if found.Name.IsZero() {
				return a.tellFound(nickEvent{Event: "found", Name: args[0], Kind: "contact", ID: found.Address.Key.String(), Address: found.Address.String()})
			}
			e := nickEvent{Event: "found", Name: found.Name.String(), Kind: kindOf(found.Name), ID: found.Address.Key.String(), Address: found.Address.String(), Warning: found.Warning}
			if found.Record.Sequence > 0 {
				e = nickEventOf("found", found.Record)
				e.Warning = found.Warning
			}
			if !a.json {
				a.tellResolved(found)
			}
			return a.tellFound(e)
		})
}

func (a *app) tellFound(e nickEvent) error {
	if a.json {
		emit(a.out, e)
		return nil
	}
	fmt.Fprintln(a.out, e.Address)
	return nil
}

func newNickAccept(a *app) *cobra.Command {
	return nickCommand(a, "accept NAME ID", "Accept that a name has a new key",
		`Take ID for the key of NAME from now on, in place of the one that is known. Only
do so when the name's owner has told you the node id on another way.`,
		`  sallyport nick accept bob.peer 26vGxSb9PMjdqAkEtixBBHm6tt9o72xX4YBBHJQWsJnQb`,
		exactly("NAME", "node ID"), func(ctx context.Context, f *nodeFlags, args []string) error {
			name, err := nickname.ParseName(args[0])
			if err != nil {
				return err
			}
			key, err := address.ParseKey(args[1])
			if err != nil {
				return misused("copy the node id again", "%v", err)
			}
			r, err := a.resolver(f)
			if err != nil {
				return err
			}
			if r.Known == nil {
				return failed(nil, "try it with HOME set", "there is no home directory to keep names in")
			}
			found, err := r.Accept(ctx, name, key)
			if err != nil {
				return err
			}
			if a.json {
				emit(a.out, nickEventOf("accepted", found.Record))
			}
			a.say("%s is %s from now on.", name, key)
			return nil
		})
}
