package registry

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/nickname"
)

// Two registries, one of which is gone, lies, or is behind.
func TestSeveralRegistries(t *testing.T) {
	c := &clock{}
	a, b := serve(t, Config{}, c), serve(t, Config{}, c)
	both := clients(c.now, a.place(), b.place())
	known := nickname.OpenKnown(filepath.Join(t.TempDir(), "known.json"))
	r := nickname.Resolver{Places: nickname.Everywhere{Registries: both}, Known: known, Now: c.now}
	p := nickname.Publisher{Key: alice, Places: r.Places, Own: nickname.OpenOwn(filepath.Join(t.TempDir(), "own.json")), Now: c.now,
		Self: func() address.Address { return address.Address{Key: alice.Public()} }}
	n := name(t, "alice.peer")
	if _, err := p.Publish(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if a.owner(t, "alice.peer") != alice.Public() || b.owner(t, "alice.peer") != alice.Public() {
		t.Fatal("not in both")
	}
	found, err := r.Resolve(t.Context(), "Alice.Peer")
	if err != nil || found.Address.Key != alice.Public() || !found.First || found.Warning != "" {
		t.Fatalf("%+v, %v", found, err)
	}
	pinned := func() {
		t.Helper()
		if pin, _, _, err := known.Find(n); err != nil || pin.Key != alice.Public() {
			t.Fatalf("the old binding is harmed: %v, %v", pin, err)
		}
	}
	stranger := nickname.Resolver{Places: r.Places, Now: c.now} // who does not know Alice

	// b forgets the name and gives it to Mallory: the registries disagree.
	if no := b.bring(t, released(t, alice, "alice.peer", 1<<40, c.now())); no != "" {
		t.Fatal(no)
	}
	if no := b.bring(t, signed(t, mallory, "alice.peer", 1<<50, c.now())); no != "" {
		t.Fatal(no)
	}
	if _, err := stranger.Resolve(t.Context(), "alice.peer"); !errors.Is(err, nickname.ErrDisagree) || !strings.Contains(err.Error(), "disagree") {
		t.Errorf("a stranger: %v", err)
	}
	found, err = r.Resolve(t.Context(), "alice.peer")
	if err != nil || found.Address.Key != alice.Public() || !strings.Contains(found.Warning, "to another key") {
		t.Errorf("%+v, %v", found, err)
	}
	pinned()
	// a is gone, and only the liar is left.
	a.stop()
	var changed *nickname.KeyChangedError
	if found, err := r.Resolve(t.Context(), "alice.peer"); !errors.As(err, &changed) {
		t.Errorf("%+v, %v", found, err)
	}
	pinned()
	// A person may accept it, naming the key; not another.
	if _, err := r.Accept(t.Context(), n, carol.Public()); err == nil {
		t.Error("a key was accepted that the name does not have")
	}
	pinned()
	// Both are gone: what is known goes on, a stranger is told.
	b.stop()
	found, err = r.Resolve(t.Context(), "alice.peer")
	if err != nil || found.Address.Key != alice.Public() || !strings.Contains(found.Warning, "Using what was known on 2026-03-01") {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := stranger.Resolve(t.Context(), "alice.peer"); !errors.Is(err, nickname.ErrUnreachable) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("a stranger: %v", err)
	}
	pinned()
	if _, err := p.Publish(t.Context(), n); err == nil {
		t.Error("published without a registry")
	}
	if _, err := stranger.Resolve(t.Context(), "alice.node"); err == nil || !strings.Contains(err.Error(), "no registry is configured") {
		t.Errorf("%v", err)
	}
}

func TestAccept(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{}, c)
	known := nickname.OpenKnown(filepath.Join(t.TempDir(), "known.json"))
	r := nickname.Resolver{Places: nickname.Everywhere{Registries: s.client()}, Known: known, Now: c.now}
	s.bring(t, signed(t, alice, "alice.peer", 1, c.now()))
	if _, err := r.Resolve(t.Context(), "alice.peer"); err != nil {
		t.Fatal(err)
	}
	s.bring(t, released(t, alice, "alice.peer", 2, c.now()))
	if _, err := r.Resolve(t.Context(), "alice.peer"); !errors.Is(err, nickname.ErrNotFound) {
		t.Errorf("a name that was given up: %v", err)
	}
	s.bring(t, signed(t, carol, "alice.peer", 1, c.now()))
	var changed *nickname.KeyChangedError
	if _, err := r.Resolve(t.Context(), "alice.peer"); !errors.As(err, &changed) {
		t.Fatalf("%v", err)
	}
	if _, err := r.Accept(t.Context(), name(t, "alice.peer"), changed.Now); err != nil {
		t.Fatal(err)
	}
	if found, err := r.Resolve(t.Context(), "alice.peer"); err != nil || found.Address.Key != carol.Public() {
		t.Errorf("%+v, %v", found, err)
	}
}
