package nickname

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
)

var compareAddresses = cmp.Comparer(func(a, b address.Address) bool { return a.Equal(b) })

func TestRecord(t *testing.T) {
	n := name(t, "alice.peer")
	a := of(alice)
	a.Brokers = []address.Broker{{URL: "tcp://127.0.0.1:1883"}}
	r, err := Sign(alice, n, 7, noon, a)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeRecord(r.Bytes())
	if err != nil || back.Name != n || back.Key != alice.Public() || back.Sequence != 7 || !back.Address.Equal(a) || !back.Issued.Equal(noon) || back.Expires.Sub(noon) != Lasts {
		t.Fatalf("%+v, %v", back, err)
	}
	gone, err := Sign(alice, n, 8, noon, address.Address{})
	if err != nil || !gone.Released() || gone.Key != alice.Public() || !gone.Newer(r) {
		t.Errorf("%+v, %v", gone, err)
	}
	// Every byte counts.
	for k := range r.Bytes() {
		b := r.Bytes()
		b[k] ^= 1
		if _, err := DecodeRecord(b); err == nil {
			t.Fatalf("byte %d may be changed", k)
		}
	}
	if _, err := DecodeRecord(append(r.Bytes(), 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte more: %v", err)
	}
	// What does not fit loses its interfaces, not its key.
	long := a
	for k := range 3 {
		long.V6 = append(long.V6, address.Interface{NetIndex: k, External: ip("2001:db8:1234:5678:9abc:def0:1234:5678"), Internal: ip("2001:db8:1234:5678:9abc:def0:1234:5678"), Port: 40000, NAT: nat.FullCone, Delta: nat.Delta{Kind: nat.Equal}})
	}
	for k := range 8 {
		long.Brokers = append(long.Brokers[:k:k], address.Broker{URL: fmt.Sprintf("wss://%s%d.example.org:443/mqtt", strings.Repeat("broker", 8), k)})
	}
	short, err := Sign(alice, n, 9, noon, long)
	if err != nil || len(short.Address.V6) > 0 || short.Address.Key != alice.Public() || len(short.Address.Brokers) != 8 {
		t.Errorf("%v, %v", short.Address, err)
	}
}

// Hijack attempts at the level of bytes, for both kinds.
func TestForgedRecords(t *testing.T) {
	n := name(t, "alice.peer")
	mine := signed(t, alice, n, 7, noon).Bytes()
	// Alice's record with Mallory's signature.
	theirs := signed(t, mallory, n, 8, noon)
	forged, signedPart, _, err := parseRecord(mine)
	if err != nil || forged.Key != alice.Public() {
		t.Fatal(err)
	}
	sig := mallory.Sign(recordHash(signedPart))
	if _, err := DecodeRecord(append(append(bytes.Clone(signedPart), byte(len(sig))), sig...)); !errors.Is(err, ErrForged) {
		t.Errorf("another's signature: %v", err)
	}
	// Mallory's key may sign for a registered name: that is for the registry
	// and the pin to judge. For a self-certifying one it may not.
	if _, err := DecodeRecord(theirs.Bytes()); err != nil {
		t.Error(err)
	}
	own, err := Certified("alice", alice.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(mallory, own, 1, noon, of(mallory)); !errors.Is(err, ErrOwner) {
		t.Errorf("a self-certifying name of another key: %v", err)
	}
	// An address of another key than the record's.
	if _, err := Sign(mallory, n, 1, noon, of(alice)); !errors.Is(err, ErrMalformed) {
		t.Errorf("another key's address: %v", err)
	}
	if _, err := Sign(address.PrivateKey{}, n, 1, noon, of(alice)); err == nil {
		t.Error("signed without a key")
	}
	for _, seq := range []uint64{0, maxSequence + 1} {
		if _, err := Sign(alice, n, seq, noon, of(alice)); !errors.Is(err, ErrMalformed) {
			t.Errorf("sequence %d: %v", seq, err)
		}
	}
	// A record that would last for ever, properly signed.
	eternal := bytes.Clone(signedPart)
	at := 2 + len(n.String()) + address.KeySize + 16
	binary.BigEndian.PutUint64(eternal[at:], uint64(noon.Add(Lasts+time.Second).Unix()))
	sig = alice.Sign(recordHash(eternal))
	if _, err := DecodeRecord(append(append(eternal, byte(len(sig))), sig...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too long a life: %v", err)
	}
}

func TestFresh(t *testing.T) {
	r := signed(t, alice, name(t, "alice.peer"), 1, noon)
	for _, c := range []struct {
		now  time.Time
		want error
		says string
	}{
		{noon, nil, ""},
		{noon.Add(-Tolerance), nil, ""},
		{noon.Add(Lasts), nil, ""},
		{noon.Add(Lasts + Tolerance), nil, ""},
		{noon.Add(-Tolerance - time.Second), ErrFuture, "the clock here or its owner's is wrong"},
		{noon.Add(-1000 * time.Hour), ErrFuture, "41 days"},
		{noon.Add(Lasts + Tolerance + time.Second), ErrExpired, "its owner's node has not run since"},
		{noon.AddDate(30, 0, 0), ErrExpired, "days ago"},
	} {
		err := r.Fresh(c.now)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("at %v: %v, want %v", c.now, err, c.want)
		}
	}
}

// CheckRetained is what our own brokers keep by.
func TestCheckRetained(t *testing.T) {
	own, err := Certified("alice", alice.Public())
	if err != nil {
		t.Fatal(err)
	}
	one, two := signed(t, alice, own, 1, noon), signed(t, alice, own, 2, noon)
	theirs, err := Certified("alice", mallory.Public())
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		topic    string
		old, new []byte
		ok       bool
	}{
		"first":                  {own.Topic(), nil, one.Bytes(), true},
		"newer":                  {own.Topic(), one.Bytes(), two.Bytes(), true},
		"over garbage":           {own.Topic(), []byte("x"), one.Bytes(), true},
		"older":                  {own.Topic(), two.Bytes(), one.Bytes(), false},
		"the same":               {own.Topic(), one.Bytes(), one.Bytes(), false},
		"garbage":                {own.Topic(), one.Bytes(), []byte("garbage"), false},
		"another topic":          {own.Topic() + "0", nil, one.Bytes(), false},
		"another's record":       {own.Topic(), one.Bytes(), signed(t, mallory, theirs, 9, noon).Bytes(), false},
		"a registered name":      {name(t, "alice.peer").Topic(), nil, signed(t, alice, name(t, "alice.peer"), 1, noon).Bytes(), false},
		"a record with an error": {own.Topic(), one.Bytes(), append(two.Bytes()[:len(two.Bytes())-1], 0), false},
	} {
		if err := CheckRetained(c.topic, c.old, c.new); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	n, err := ParseName("alice.peer")
	if err != nil {
		f.Fatal(err)
	}
	good := signed(f, alice, n, 7, noon).Bytes()
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte{recordVersion, 200})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, signedPart, sig, err := parseRecord(b)
		if err != nil {
			return
		}
		if len(signedPart)+1+len(sig) != len(b) || !bytes.Equal(r.Bytes(), b) {
			t.Fatal("parts do not make the whole")
		}
		body, err := r.body()
		if err != nil || !bytes.Equal(body, signedPart) {
			t.Fatalf("written again it differs: %v\n%x\n%x", err, body, signedPart)
		}
		if again, _, _, err := parseRecord(b); err != nil || !cmp.Equal(again.Address, r.Address, compareAddresses) {
			t.Fatal("read again it differs")
		}
	})
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }
