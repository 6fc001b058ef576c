package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/nickname"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func someKey(n byte) address.PrivateKey {
	k, err := address.PrivateKeyFromBytes(append(make([]byte, 31), n))
	if err != nil {
		panic(err)
	}
	return k
}

var alice, mallory, carol = someKey(1), someKey(2), someKey(3)

// clock is a wall clock that tests set.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time          { return noon.Add(time.Duration(c.Load())) }
func (c *clock) advance(d time.Duration) { c.Add(int64(d)) }

// served is a registry on loopback, under a clock.
type served struct {
	*Registry
	clock *clock
	url   string
	stop  func()
}

func serve(t testing.TB, cfg Config, c *clock) *served {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "names.db")
	}
	cfg.Now = c.now
	if cfg.Burst == 0 {
		cfg.Burst = 100_000
	}
	g, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := g.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	s := &served{g, c, "http://" + l.Addr().String(), sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})}
	t.Cleanup(s.stop)
	return s
}

func (s *served) place() nickname.Registry { return nickname.Registry{URL: s.url, Key: s.Key()} }

func clients(now func() time.Time, of ...nickname.Registry) nickname.Registries {
	return nickname.Registries{Of: map[string][]nickname.Registry{"peer": of}, Now: now}
}

func (s *served) client() nickname.Registries { return clients(s.clock.now, s.place()) }

func name(t testing.TB, s string) nickname.Name {
	t.Helper()
	n, err := nickname.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func signed(t testing.TB, k address.PrivateKey, n string, seq uint64, at time.Time) nickname.Record {
	t.Helper()
	r, err := nickname.Sign(k, name(t, n), seq, at, address.Address{Key: k.Public()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func released(t testing.TB, k address.PrivateKey, n string, seq uint64, at time.Time) nickname.Record {
	t.Helper()
	r, err := nickname.Sign(k, name(t, n), seq, at, address.Address{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bring stores r and gives the refusal, "" for none.
func (s *served) bring(t testing.TB, r nickname.Record) nickname.Status {
	t.Helper()
	got := s.client().Store(t.Context(), r)[0]
	var no *nickname.RefusedError
	if errors.As(got.Err, &no) {
		if no.Reason == "" {
			t.Errorf("refused as %s without a reason", no.Status)
		}
		return no.Status
	}
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	return ""
}

// owner is whose a name is now; the zero Key for nobody's.
func (s *served) owner(t testing.TB, n string) address.Key {
	t.Helper()
	got := s.client().Fetch(t.Context(), name(t, n))[0]
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	return got.Record.Key
}

func TestLife(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{}, c)
	expect := func(what string, got, want nickname.Status) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
	}
	owned := func(by address.Key) {
		t.Helper()
		if got := s.owner(t, "alice.peer"); got != by {
			t.Fatalf("it belongs to %q", got)
		}
	}
	owned(address.Key{})
	first := signed(t, alice, "alice.peer", 1, c.now())
	expect("claim", s.bring(t, first), "")
	owned(alice.Public())
	expect("once more", s.bring(t, first), "")
	// Hijack attempts.
	expect("another key", s.bring(t, signed(t, mallory, "alice.peer", 1<<60, c.now())), nickname.Taken)
	expect("another key's release", s.bring(t, released(t, mallory, "alice.peer", 1<<60, c.now())), nickname.Taken)
	expect("a name that looks alike", s.bring(t, signed(t, mallory, "a1ice.peer", 1, c.now())), nickname.Alike)
	expect("and one more", s.bring(t, signed(t, mallory, "al-ice.peer", 1, c.now())), nickname.Alike)
	owned(alice.Public())
	// The owner may have both.
	expect("alike, of the same key", s.bring(t, signed(t, alice, "al1ce.peer", 1, c.now())), "")
	// Renewal.
	c.advance(5 * 24 * time.Hour)
	second := signed(t, alice, "alice.peer", 2, c.now())
	expect("renew", s.bring(t, second), "")
	expect("replay", s.bring(t, first), nickname.Outdated)
	c.advance(5 * 24 * time.Hour)
	owned(alice.Public())
	// Wrong clocks.
	expect("a clock ahead", s.bring(t, signed(t, alice, "alice.peer", 3, c.now().Add(time.Hour))), nickname.Clock)
	expect("a clock behind", s.bring(t, signed(t, alice, "alice.peer", 3, c.now().Add(-nickname.Lasts-time.Hour))), nickname.Clock)
	owned(alice.Public())
	// Release: free at once, and no old record brings it back.
	expect("release", s.bring(t, released(t, alice, "alice.peer", 4, c.now())), "")
	owned(address.Key{})
	expect("replay after the release", s.bring(t, second), nickname.Outdated)
	owned(address.Key{})
	expect("another's claim", s.bring(t, signed(t, carol, "alice.peer", 1, c.now())), "")
	expect("too late", s.bring(t, signed(t, alice, "alice.peer", 5, c.now())), nickname.Taken)
	// Seven days without a refresh free it.
	c.advance(nickname.Lasts - time.Second)
	owned(carol.Public())
	expect("a second before", s.bring(t, signed(t, alice, "alice.peer", 6, c.now())), nickname.Taken)
	c.advance(time.Second)
	owned(address.Key{})
	expect("after seven days", s.bring(t, signed(t, alice, "alice.peer", 6, c.now())), "")
	owned(alice.Public())
	if got := s.Names(); got != 2 { // alice and al1ce, which nobody has swept
		t.Errorf("%d names are counted", got)
	}
	c.advance(nickname.Tolerance)
	if err := s.sweep(); err != nil || s.Names() != 1 {
		t.Errorf("after the sweep: %d names, %v", s.Names(), err)
	}
	// A release of what one does not have is no claim.
	if got := s.client().Store(t.Context(), released(t, carol, "nobody.peer", 1, c.now()))[0]; got.Err != nil || !got.Record.Key.IsZero() {
		t.Errorf("%+v", got)
	}
}

func TestSurvivesRestart(t *testing.T) {
	c := &clock{}
	path := filepath.Join(t.TempDir(), "names.db")
	s := serve(t, Config{Path: path}, c)
	if no := s.bring(t, signed(t, alice, "alice.peer", 1, c.now())); no != "" {
		t.Fatal(no)
	}
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("opened twice: %v", err)
	}
	key := s.Key()
	s.stop()
	s = serve(t, Config{Path: path, PerIPv4: 1}, c)
	if s.Key() != key || s.owner(t, "alice.peer") != alice.Public() {
		t.Errorf("the key or the name is lost")
	}
	if no := s.bring(t, signed(t, mallory, "mallory.peer", 1, c.now())); no != nickname.Full {
		t.Errorf("the count of the address is lost: %q", no)
	}
}

func TestQuota(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{PerIPv4: 3, MaxNames: 5}, c)
	claim := func(n string) nickname.Status { return s.bring(t, signed(t, alice, n, 1, c.now())) }
	for _, n := range []string{"one.peer", "two.peer", "three.peer"} {
		if no := claim(n); no != "" {
			t.Fatal(no)
		}
	}
	if no := claim("four.peer"); no != nickname.Full {
		t.Errorf("a fourth: %q", no)
	}
	if no := s.bring(t, signed(t, alice, "one.peer", 2, c.now())); no != "" {
		t.Errorf("a renewal: %q", no)
	}
	if no := s.bring(t, released(t, alice, "two.peer", 2, c.now())); no != "" {
		t.Errorf("a release: %q", no)
	}
	if no := claim("four.peer"); no != "" {
		t.Errorf("after a release: %q", no)
	}
	// Others have room, until there is none for anybody.
	from := func(remote, n string) nickname.Status {
		t.Helper()
		body, _ := json.Marshal(nickname.NewRequest(name(t, n), signed(t, alice, n, 1, c.now()).Bytes()))
		h := httptest.NewRequest(http.MethodPost, nickname.RegistryPath, bytes.NewReader(body))
		h.RemoteAddr = remote
		w := httptest.NewRecorder()
		s.ServeHTTP(w, h)
		var p nickname.Reply
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return p.Status
	}
	if got := from("[2001:db8::1]:5", "five.peer"); got != nickname.Stored {
		t.Errorf("another address: %q", got)
	}
	if got := from("[2001:db8::ffff:1]:5", "six.peer"); got != nickname.Stored {
		t.Errorf("its neighbour: %q", got)
	}
	if got := from("192.0.2.1:5", "seven.peer"); got != nickname.Full {
		t.Errorf("a sixth name in a registry of five: %q", got)
	}
	if from, limit := s.origin("[2001:db8::1]:5"); from != "2001:db8::/64" || limit != 5 {
		t.Errorf("%s, %d", from, limit)
	}
	if from, limit := s.origin("[::ffff:192.0.2.1]:5"); from != "192.0.2.1" || limit != 3 {
		t.Errorf("%s, %d", from, limit)
	}
	if _, limit := s.origin("@"); limit != 0 {
		t.Error("an address that is none has room")
	}
}

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

func TestHTTP(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{Rate: 0.001, Burst: 40}, c)
	ask := func(method, path, body string) int {
		w := httptest.NewRecorder()
		h := httptest.NewRequest(method, path, strings.NewReader(body))
		h.RemoteAddr = "192.0.2.9:1"
		s.ServeHTTP(w, h)
		return w.Code
	}
	good, _ := json.Marshal(nickname.NewRequest(name(t, "alice.peer"), nil))
	for _, x := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", nickname.RegistryPath, string(good), 200},
		{"GET", nickname.RegistryPath, "", 405},
		{"POST", "/", string(good), 404},
		{"POST", nickname.RegistryPath, "{", 400},
		{"POST", nickname.RegistryPath, `{"nonce":"00","name":"alice.peer"}`, 400},
		{"POST", nickname.RegistryPath, `{"nonce":"` + strings.Repeat("0", 32) + `","name":"\u0430lice.peer"}`, 400},
		{"POST", nickname.RegistryPath, `{"nonce":"` + strings.Repeat("0", 32) + `","name":"alice.abcdefg234"}`, 400},
		{"POST", nickname.RegistryPath, strings.Repeat(" ", nickname.MaxMessage+1), 413},
	} {
		if got := ask(x.method, x.path, x.body); got != x.code {
			t.Errorf("%s %s %.60q: %d, want %d", x.method, x.path, x.body, got, x.code)
		}
	}
	limited := false
	for range 50 {
		limited = limited || ask("POST", nickname.RegistryPath, string(good)) == 429
	}
	if !limited {
		t.Error("one address may ask without end")
	}
	if s.owner(t, "alice.peer") != (address.Key{}) { // from another address
		t.Error("found")
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
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	both := clients(c.now, nickname.Registry{URL: hanging.URL, Key: carol.Public()}, s.place())
	answers := both.Fetch(ctx, name(t, "alice.peer"))
	if !errors.Is(answers[0].Err, nickname.ErrNoAnswer) {
		t.Errorf("the hanging one: %+v", answers[0])
	}
	if answers[1].Err != nil || answers[1].Record.Key != alice.Public() {
		t.Errorf("the other one: %+v", answers[1])
	}
	if r, err := nickname.Choose(c.now(), name(t, "alice.peer"), nickname.Pin{}, answers); err != nil || r.Key != alice.Public() {
		t.Errorf("%v, %v", r, err)
	}
}
