package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/code"
	"github.com/sallyport-net/sallyport/node/nickname"
)

// defaultSuffix is what a --registry without one is for.
const defaultSuffix = "peer"

// parseRegistries gives the registries of each suffix.
func (f *nodeFlags) parseRegistries() (map[string][]nickname.Registry, error) {
	of := make(map[string][]nickname.Registry)
	for _, text := range f.registries {
		suffix, at := defaultSuffix, text
		if before, after, ok := strings.Cut(text, "="); ok && !strings.Contains(before, ":") {
			suffix, at = strings.ToLower(before), after
		}
		if n, err := nickname.ParseName("x." + suffix); err != nil || n.SelfCertifying() {
			return nil, misused("try --registry peer=http://HOST:PORT#KEY", "--registry %q: a suffix has 2 to 9 letters and digits", text)
		}
		r, err := nickname.ParseRegistry(at)
		if err != nil {
			return nil, misused("copy what \"sallyport serve --registry FILE\" prints", "%v", err)
		}
		of[suffix] = append(of[suffix], r)
	}
	return of, nil
}

// places are where nicknames are kept, as the flags have it.
func (a *app) places(f *nodeFlags) (nickname.Places, error) {
	brokers, err := f.parseBrokers()
	if err != nil {
		return nil, err
	}
	of, err := f.parseRegistries()
	if err != nil {
		return nil, err
	}
	now, err := wallClock()
	if err != nil {
		return nil, err
	}
	return nickname.Everywhere{Registries: nickname.Registries{Of: of, Now: now}, Board: nickname.Board{Brokers: brokers}}, nil
}

// homeFile gives the path of one of the files in the configuration directory.
func homeFile(name string) (string, error) {
	dir, err := configDir()
	if err != nil {
		return "", failed(err, "try it with HOME set", "there is no home directory to keep names in")
	}
	return filepath.Join(dir, name), nil
}

func contacts() (*nickname.Contacts, error) {
	path, err := homeFile("contacts.json")
	return nickname.OpenContacts(path), err
}

func ownNames() (*nickname.Own, error) {
	path, err := homeFile("own-names.json")
	return nickname.OpenOwn(path), err
}

// resolver takes whatever names a node. Without a home there are no contacts,
// and no nicknames, since nothing could be remembered of them.
func (a *app) resolver(f *nodeFlags) (*nickname.Resolver, error) {
	now, err := wallClock()
	if err != nil {
		return nil, err
	}
	r := &nickname.Resolver{Now: now}
	path, err := homeFile("known-names.json")
	if err != nil {
		return r, nil
	}
	r.Known = nickname.OpenKnown(path)
	if r.Contacts, err = contacts(); err != nil {
		return nil, err
	}
	r.Places, err = a.places(f)
	return r, err
}

// resolve gives the address of a TARGET: a contact, a nickname, or an address
// in any form. It tells what a person should know on the way.
func (a *app) resolve(ctx context.Context, f *nodeFlags, target string) (address.Address, error) {
	r, err := a.resolver(f)
	if err != nil {
		return address.Address{}, err
	}
	stop := a.tellIdle(fmt.Sprintf("Still looking for %q.", target))
	found, err := r.Resolve(ctx, target)
	stop()
	if err != nil {
		return found.Address, unknownTarget(target, err)
	}
	a.tellResolved(found)
	return found.Address, nil
}

// resolvePeer is resolve for a TARGET that is to be called: an id that is no key
// proves nobody, and is refused.
func (a *app) resolvePeer(ctx context.Context, f *nodeFlags, target string) (address.Address, error) {
	peer, err := a.resolve(ctx, f, target)
	if err == nil && peer.Foreign != "" {
		err = misused("ask the peer for its Sallyport address", "%v", &node.ErrForeign{ID: peer.Foreign})
	}
	return peer, err
}

// unknownTarget is the error of a target that cannot be resolved: a word that
// might be a contact's name is told as such.
func unknownTarget(target string, err error) error {
	var parse *address.ParseError
	if errors.As(err, &parse) && parse.Failure == address.UnknownForm {
		if _, bad := nickname.ParseLabel(target); bad == nil {
			return misused(nearContact(target), "%q is neither a contact nor an address", target)
		}
	}
	return err
}

// nearContact is what to try in place of a name that no contact has.
func nearContact(target string) string {
	var names []string
	if all, err := contacts(); err == nil {
		list, _ := all.List() // a damaged file was told of already
		for _, one := range list {
			names = append(names, one.Name)
		}
	}
	if near := nearest(strings.ToLower(target), names); near != "" {
		return fmt.Sprintf("try %q, which is a contact", near)
	}
	return "try \"sallyport contact list\", or copy the whole address"
}

func (a *app) tellResolved(found nickname.Resolution) {
	if found.Warning != "" {
		a.say("Warning: %s", found.Warning)
		if a.json {
			emit(a.err, warningEvent{"warning", found.Warning})
		}
	}
	if found.First && !found.Name.IsZero() {
		if a.json {
			emit(a.err, pinnedEvent{"pinned", found.Name.String(), found.Address.Key.String()})
		}
		a.say("%s was looked up for the first time. Its key is %s, and from now on no other is taken for it.", found.Name, found.Address.Key)
	}
}

// pinnedEvent is the first lookup of a nickname.
type pinnedEvent struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	ID    string `json:"id"`
}

type warningEvent struct {
	Event string `json:"event"`
	What  string `json:"what"`
}

// naming reports whether err is about a name or a code.
func naming(err error) bool {
	var bad *nickname.NameError
	var lookup *nickname.LookupError
	var typo *code.ParseError
	var store *nickname.StoreError
	return errors.As(err, &bad) || errors.As(err, &store) || errors.As(err, &lookup) || errors.As(err, &typo) || errors.Is(err, code.ErrWrongCode) || errors.Is(err, code.ErrAbandoned)
}

// explainNaming puts such an error into words.
func explainNaming(err error) *failure {
	var bad *nickname.NameError
	var lookup *nickname.LookupError
	var typo *code.ParseError
	var store *nickname.StoreError
	switch {
	case errors.As(err, &typo):
		return &failure{status: statusMisused, what: typo.Error(), hint: "type the code again as it is shown; the first three letters of each word are enough"}
	case errors.Is(err, code.ErrWrongCode):
		return &failure{status: statusWrongCode, what: "The code did not match. Nothing was sent. This code is used up", hint: "ask the other side for a new code", cause: err}
	case errors.Is(err, code.ErrAbandoned):
		return &failure{status: statusWrongCode, what: "Somebody tried the code and went away. Nothing was sent. This code is used up", hint: "try again for a new code", cause: err}
	case errors.As(err, &bad):
		return &failure{status: statusMisused, what: bad.Error(), hint: "try a name such as alice.peer", cause: nil}
	case errors.As(err, &store):
		return &failure{status: unansweredStatus(store.Answers), what: store.Error(), hint: store.Hint(), cause: errors.Join(store.Unwrap()...)}
	case errors.As(err, &lookup):
		f := &failure{status: statusFailed, what: lookup.Error(), hint: lookup.Hint(), cause: errors.Join(lookup.Unwrap()...)}
		switch {
		case errors.Is(lookup.Cause, nickname.ErrNotFound):
			f.status = statusAbsent
		case errors.Is(lookup.Cause, nickname.ErrUnreachable):
			f.status = unansweredStatus(lookup.Answers)
		}
		return f
	}
	return nil
}

// unansweredStatus is "no network" where no place could be reached, and
// "misused" where there is none to ask.
func unansweredStatus(answers []nickname.Answer) int {
	status := statusNoNetwork
	for _, a := range answers {
		switch {
		case errors.Is(a.Err, nickname.ErrNoRegistry):
			return statusMisused
		case !errors.Is(a.Err, nickname.ErrNoAnswer):
			status = statusFailed
		}
	}
	return status
}
