package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net"
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
