package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/nickname"
)

// A registry, or somebody on the way to it, that tampers with what it says.
func TestLyingRegistry(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{}, c)
	s.bring(t, signed(t, alice, "alice.peer", 1, c.now()))
	s.bring(t, signed(t, mallory, "bob.peer", 1, c.now()))
	old := signed(t, alice, "alice.peer", 1, c.now())
	s.bring(t, signed(t, alice, "alice.peer", 9, c.now()))
	known := nickname.OpenKnown(filepath.Join(t.TempDir(), "known.json"))
	if err := known.Learn(c.now(), signed(t, alice, "alice.peer", 9, c.now())); err != nil {
		t.Fatal(err)
	}
	liar := someKey(7)
	var lie func(q nickname.Request, p *nickname.Reply) (by address.PrivateKey)
	var raw func(http.ResponseWriter) bool
	var memory struct{ body, sig string }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, h *http.Request) {
		if raw != nil && raw(w) {
			return
		}
		body, _ := io.ReadAll(h.Body)
		var q nickname.Request
		_ = json.Unmarshal(body, &q)
		p := nickname.Reply{Nonce: q.Nonce, Name: q.Name, Status: nickname.Found, Record: signed(t, alice, "alice.peer", 9, c.now()).Bytes(), Time: c.now().Unix()}
		key := lie(q, &p)
		answer, sig, _ := p.Seal(key)
		memory.body, memory.sig = string(answer), sig
		w.Header().Set(nickname.SignatureHeader, sig)
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	place := nickname.Registry{URL: server.URL, Key: liar.Public()}
	try := func() error {
		_, err := (&nickname.Resolver{Places: nickname.Everywhere{Registries: clients(c.now, place)}, Now: c.now}).Resolve(t.Context(), "alice.peer")
		return err
	}
	honest := func(nickname.Request, *nickname.Reply) address.PrivateKey { return liar }
	lie = honest
	if err := try(); err != nil {
		t.Fatalf("without a lie: %v", err)
	}
	replay := memory
	for what, l := range map[string]struct {
		lie func(q nickname.Request, p *nickname.Reply) address.PrivateKey
		raw func(http.ResponseWriter) bool
		say string
	}{
		"another registry's signature": {lie: func(nickname.Request, *nickname.Reply) address.PrivateKey { return mallory }, say: "not signed by that registry's key"},
		"another nonce": {lie: func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
			p.Nonce = strings.Repeat("0", 32)
			return liar
		}, say: "belongs to another request"},
		"another name's record": {lie: func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
			p.Record = signed(t, mallory, "bob.peer", 1, c.now()).Bytes()
			return liar
		}, say: "another name's record"},
		"a forged record": {lie: func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
			p.Record[len(p.Record)-1] ^= 1
			return liar
		}, say: "bad record"},
		"found without a record": {lie: func(_ nickname.Request, p *nickname.Reply) address.PrivateKey { p.Record = nil; return liar }, say: "no record"},
		"a clock an hour ahead": {lie: func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
			p.Time += 3600
			return liar
		}, say: "the clocks differ: the registry's is 1h0m0s ahead"},
		"a refusal with control characters": {lie: func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
			p.Status, p.Reason = nickname.Taken, "\x1b[2Jyes"
			return liar
		}, say: "?[2Jyes"},
		"an old reply": {raw: func(w http.ResponseWriter) bool {
			w.Header().Set(nickname.SignatureHeader, replay.sig)
			_, _ = io.WriteString(w, replay.body)
			return true
		}, say: "belongs to another request"},
		"no JSON":   {raw: func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, "<html>"); return true }, say: "not signed"},
		"an error":  {raw: func(w http.ResponseWriter) bool { http.Error(w, "x", 500); return true }, say: "HTTP status 500"},
		"a flood":   {raw: func(w http.ResponseWriter) bool { _, _ = w.Write(make([]byte, 1<<20)); return true }, say: "more than 4096 bytes"},
		"elsewhere": {raw: func(w http.ResponseWriter) bool { w.Header().Set("Location", s.url); w.WriteHeader(307); return true }, say: "HTTP status 307"},
	} {
		lie, raw = l.lie, l.raw
		if err := try(); err == nil || !strings.Contains(err.Error(), l.say) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v; want an error with %q", what, err, l.say)
		}
	}
	// A signed lie about a known name: an old record, or none, or another key.
	raw = nil
	r := &nickname.Resolver{Places: nickname.Everywhere{Registries: clients(c.now, place)}, Known: known, Now: c.now}
	lie = func(_ nickname.Request, p *nickname.Reply) address.PrivateKey { p.Record = old.Bytes(); return liar }
	if found, err := r.Resolve(t.Context(), "alice.peer"); err != nil || !strings.Contains(found.Warning, "older than one that was seen") || found.Address.Key != alice.Public() {
		t.Errorf("an old record: %+v, %v", found, err)
	}
	lie = func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
		p.Status, p.Record = nickname.Absent, nil
		return liar
	}
	if _, err := r.Resolve(t.Context(), "alice.peer"); !errors.Is(err, nickname.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	lie = func(_ nickname.Request, p *nickname.Reply) address.PrivateKey {
		p.Record = signed(t, mallory, "alice.peer", 99, c.now()).Bytes()
		return liar
	}
	var changed *nickname.KeyChangedError
	if _, err := r.Resolve(t.Context(), "alice.peer"); !errors.As(err, &changed) {
		t.Errorf("another key: %v", err)
	}
	if pin, _, _, err := known.Find(name(t, "alice.peer")); err != nil || pin != (nickname.Pin{Key: alice.Public(), Sequence: 9}) {
		t.Errorf("the old binding is harmed: %v, %v", pin, err)
	}
}

// A registry that takes the question and says nothing costs no more than the
// caller's time, and does not keep another from answering.
func TestHangingRegistry(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{}, c)
	s.bring(t, signed(t, alice, "alice.peer", 1, c.now()))
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hanging.Close()
	defer close(release)
	both := clients(c.now, nickname.Registry{URL: hanging.URL, Key: carol.Public()}, s.place())
	var answers []nickname.Answer
	for within := 300 * time.Millisecond; within < time.Minute; within *= 2 { // the other one may need more on a busy machine
		ctx, cancel := context.WithTimeout(t.Context(), within)
		answers = both.Fetch(ctx, name(t, "alice.peer"))
		cancel()
		if !errors.Is(answers[0].Err, nickname.ErrNoAnswer) {
			t.Errorf("the hanging one: %+v", answers[0])
		}
		if answers[1].Err == nil {
			break
		}
	}
	if answers[1].Err != nil || answers[1].Record.Key != alice.Public() {
		t.Errorf("the other one: %+v", answers[1])
	}
	if r, err := nickname.Choose(c.now(), name(t, "alice.peer"), nickname.Pin{}, answers); err != nil || r.Key != alice.Public() {
		t.Errorf("%v, %v", r, err)
	}
}
