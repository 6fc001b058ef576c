package nickname

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// someKey gives the same key for the same number.
func someKey(n byte) address.PrivateKey {
	b := make([]byte, 32)
	b[31] = n
	k, err := address.PrivateKeyFromBytes(b)
	if err != nil {
		panic(err)
	}
	return k
}

var alice, mallory = someKey(1), someKey(2)

func name(t testing.TB, s string) Name {
	t.Helper()
	n, err := ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func of(k address.PrivateKey) address.Address { return address.Address{Key: k.Public()} }

func signed(t testing.TB, k address.PrivateKey, n Name, seq uint64, at time.Time) Record {
	t.Helper()
	r, err := Sign(k, n, seq, at, of(k))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
