package nickname

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// settle is how long brokers on loopback may take.
const settle = 600 * time.Millisecond

const patience = time.Minute

// open is a broker as public ones are: it keeps what anybody leaves.
func open(string, []byte, []byte) error { return nil }

func startBroker(t testing.TB, rule func(string, []byte, []byte) error) (*broker.Broker, address.Broker) {
	t.Helper()
	b := brokertest.Start(t, broker.Config{Retain: rule})
	at, err := address.ParseBroker(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	return b, at
}

// leave puts a retained message on a topic, as anybody may.
func leave(t testing.TB, topic string, at address.Broker, payload []byte) {
	t.Helper()
	c, err := mqtt.New(mqtt.Config{Topic: topic, Retained: true, Brokers: []address.Broker{at}, Endpoints: signaling.Endpoints})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Post(ctx, []address.Broker{at}, payload, true); err != nil {
		t.Fatal(err)
	}
	for { // it comes back when the broker has it
		select {
		case d := <-c.Deliveries():
			if string(d.Payload) == string(payload) {
				return
			}
		case <-ctx.Done():
			t.Fatal("the broker did not take it")
		}
	}
}

func certified(t testing.TB, label string, k address.PrivateKey) Name {
	t.Helper()
	n, err := Certified(label, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func publisher(t testing.TB, k address.PrivateKey, places Places, dir string) Publisher {
	return Publisher{Key: k, Places: places, Own: OpenOwn(filepath.Join(dir, "own.json")), Self: func() address.Address { return of(k) }}
}

// resolves resolves a name until the outcome is as wanted: brokers on a busy machine
// may take longer than settle, and what has not come by then counts as not there.
// Another key than the owner's is never found, however busy it is.
func resolves(t *testing.T, r *Resolver, n Name, owner address.PrivateKey, ok func(Resolution, error) bool) (found Resolution, err error) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		found, err = r.Resolve(t.Context(), n.String())
		if err == nil && found.Address.Key != owner.Public() {
			t.Fatalf("found %+v", found)
		}
		if ok(found, err) || time.Now().After(end) {
			return found, err
		}
	}
}

func gone(_ Resolution, err error) bool { return errors.Is(err, ErrNotFound) }

func TestBoard(t *testing.T) {
	t.Parallel()
	_, one := startBroker(t, open)
	_, two := startBroker(t, CheckRetained)
	nobody := address.Broker{URL: "tcp://127.0.0.1:1"}
	board := Board{Brokers: []address.Broker{one, two, nobody}, Settle: settle}
	places := Everywhere{Board: board}
	n := certified(t, "alice", alice)
	known := OpenKnown(filepath.Join(t.TempDir(), "known.json"))
	reader := &Resolver{Places: places, Known: known}
	stranger := &Resolver{Places: places}

	if _, err := reader.Resolve(t.Context(), n.String()); !errors.Is(err, ErrNotFound) {
		t.Fatalf("before it is published: %v", err)
	}
	p := publisher(t, alice, places, t.TempDir())
	first, err := p.Publish(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	found, err := resolves(t, reader, n, alice, func(_ Resolution, err error) bool { return err == nil })
	if err != nil || found.Address.Key != alice.Public() || found.Record.Sequence != first.Sequence || !found.First {
		t.Fatalf("%+v, %v", found, err)
	}
	for end := time.Now().Add(patience); !p.Current(t.Context(), n); {
		if time.Now().After(end) {
			t.Fatal("what was just published is not current")
		}
	}

	// A restart with the files lost: the sequence is taken from the brokers.
	second, err := publisher(t, alice, places, t.TempDir()).Publish(t.Context(), n)
	if err != nil || second.Sequence <= first.Sequence {
		t.Fatalf("sequence %d after %d, %v", second.Sequence, first.Sequence, err)
	}

	// Hijack attempts on the broker that keeps anything.
	theirs := certified(t, "alice", mallory)
	for what, payload := range map[string][]byte{
		"garbage":                     []byte("garbage"),
		"another's record":            signed(t, mallory, theirs, 1<<40, time.Now()).Bytes(),
		"a record with a changed bit": flip(second.Bytes()),
		"an older record":             first.Bytes(),
	} {
		leave(t, n.Topic(), one, payload)
		found, err := resolves(t, stranger, n, alice, func(f Resolution, err error) bool { return err == nil && f.Record.Sequence == second.Sequence })
		if err != nil || found.Address.Key != alice.Public() || found.Record.Sequence != second.Sequence {
			t.Errorf("%s: %+v, %v", what, found, err)
		}
	}
	leave(t, n.Topic(), one, []byte("garbage"))
	if p.Current(t.Context(), n) {
		t.Error("the owner does not see that its name was overwritten")
	}
	// On the broker that checks there is no way in: it is what was found above.
	pin, _, _, err := known.Find(n)
	if err != nil || pin.Key != alice.Public() {
		t.Errorf("the old binding is harmed: %v, %v", pin, err)
	}

	// The same where every broker keeps anything: a stranger is told, and who
	// knows the name goes on.
	alone := Everywhere{Board: Board{Brokers: []address.Broker{one}, Settle: settle}}
	leave(t, n.Topic(), one, []byte("garbage"))
	malformed := func(_ Resolution, err error) bool { return errors.Is(err, ErrMalformed) }
	if _, err := resolves(t, &Resolver{Places: alone}, n, alice, malformed); !errors.Is(err, ErrMalformed) {
		t.Errorf("a stranger: %v", err)
	}
	if found, err := (&Resolver{Places: alone, Known: known}).Resolve(t.Context(), n.String()); err != nil || found.Address.Key != alice.Public() || found.Warning == "" {
		t.Errorf("%+v, %v", found, err)
	}

	// Given up.
	if err := p.Release(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := resolves(t, stranger, n, alice, gone); !errors.Is(err, ErrNotFound) {
		t.Errorf("a name that was given up: %v", err)
	}
	leave(t, n.Topic(), one, second.Bytes()) // a replay
	if _, err := resolves(t, stranger, n, alice, gone); !errors.Is(err, ErrNotFound) {
		t.Errorf("a name that was given up, and replayed: %v", err)
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

func TestBoardWithoutBrokers(t *testing.T) {
	t.Parallel()
	board := Board{Brokers: []address.Broker{{URL: "tcp://127.0.0.1:1"}}, Settle: settle}
	n := certified(t, "alice", alice)
	_, err := (&Resolver{Places: Everywhere{Board: board}}).Resolve(t.Context(), n.String())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "tcp://127.0.0.1:1: no answer") {
		t.Errorf("%v", err)
	}
	if _, err := publisher(t, alice, Everywhere{Board: board}, t.TempDir()).Publish(t.Context(), n); err == nil {
		t.Error("published nowhere")
	}
	// A broker that keeps nothing says so by its silence.
	_, at := startBroker(t, nil)
	_, err = publisher(t, alice, Everywhere{Board: Board{Brokers: []address.Broker{at}, Settle: settle}}, t.TempDir()).Publish(t.Context(), n)
	if err == nil || !strings.Contains(err.Error(), "it did not take the record") {
		t.Errorf("%v", err)
	}
}

// The public brokers of a name follow from it, and a reader looks wherever the
// owner may have put it.
func TestBoardBrokers(t *testing.T) {
	n := certified(t, "alice", alice)
	store, fetch := Board{}.brokers(n, storeBrokers), Board{}.brokers(n, fetchBrokers)
	if len(store) != 3 || len(fetch) != 4 {
		t.Fatalf("%v, %v", store, fetch)
	}
	for k, b := range store {
		if fetch[k] != b {
			t.Errorf("%v is not looked at: %v", b, fetch)
		}
	}
}

// A keeper puts back what was overwritten, and a new one, after a restart,
// goes on with a greater sequence.
func TestKeeper(t *testing.T) {
	t.Parallel()
	_, at := startBroker(t, open)
	places := Everywhere{Board: Board{Brokers: []address.Broker{at}, Settle: 50 * time.Millisecond}}
	n := certified(t, "alice", alice)
	dir := t.TempDir()
	var mu sync.Mutex
	var last Record
	keep := func() *Keeper {
		return Keep(KeeperConfig{
			Names: []Name{n}, Publisher: publisher(t, alice, places, dir), Look: 20 * time.Millisecond, Retry: time.Millisecond,
			OnResult: func(_ Name, r Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					last = r
				}
			},
		})
	}
	sequence := func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return last.Sequence
	}
	above := func(was uint64) uint64 {
		t.Helper()
		for deadline := time.Now().Add(patience); sequence() <= was; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nothing was published above %d", was)
			}
		}
		return sequence()
	}
	k := keep()
	first := above(0)
	leave(t, n.Topic(), at, []byte("garbage"))
	repaired := above(first)
	if err := errors.Join(k.Close(), k.Close()); err != nil {
		t.Fatal(err)
	}
	k = keep()
	defer k.Close()
	above(repaired)
	found, err := resolves(t, &Resolver{Places: places}, n, alice, func(f Resolution, err error) bool { return err == nil && f.Record.Sequence > repaired })
	if err != nil || found.Record.Sequence <= repaired {
		t.Errorf("%+v, %v", found, err)
	}
}
