package seal

import (
	"bytes"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

func newKey(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	s, r := newKey(t), newKey(t)
	for _, n := range []int{0, 1, 700, 865, 866, 867, 1800, 1900, 3900, MaxBody - 1, MaxBody} {
		body := bytes.Repeat([]byte{'x'}, n)
		sealed, err := Seal(s, r.Public(), body)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !Plausible(sealed) {
			t.Errorf("%d bytes are sealed into %d, which is no bucket", n, len(sealed))
		}
		from, opened, err := Open(r, sealed)
		if err != nil || from != s.Public() || !bytes.Equal(opened, body) {
			t.Errorf("%d bytes: error %v, right sender %t, right body %t", n, err, from == s.Public(), bytes.Equal(opened, body))
		}
	}
	if _, err := Seal(s, r.Public(), make([]byte, MaxBody+1)); err == nil {
		t.Error("a body longer than MaxBody was sealed")
	}
	if _, err := Seal(s, address.Key{}, nil); err == nil {
		t.Error("a body was sealed for nobody")
	}
}

// TestBuckets shows that a size tells a bucket and no more.
func TestBuckets(t *testing.T) {
	s, r := newKey(t), newKey(t)
	sizes := map[int]bool{}
	for n := 0; n <= 800; n += 50 {
		sealed, err := Seal(s, r.Public(), make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(sealed)] = true
	}
	if len(sizes) != 1 || !sizes[Buckets[0]] {
		t.Errorf("bodies up to 800 bytes have sizes %v", sizes)
	}
}

func TestSealedTwiceIsUnlike(t *testing.T) {
	s, r := newKey(t), newKey(t)
	a, _ := Seal(s, r.Public(), []byte("same"))
	b, _ := Seal(s, r.Public(), []byte("same"))
	if same := commonBytes(a, b); same > 60 { // 1 and about one in 256 by chance
		t.Errorf("two payloads with the same body have %d bytes in common", same)
	}
}

func commonBytes(a, b []byte) (n int) {
	for i := range a {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// TestDamage flips every bit of the header and of the tag, and one bit of every
// byte between: none may go unnoticed.
func TestDamage(t *testing.T) {
	s, r := newKey(t), newKey(t)
	sealed, err := Seal(s, r.Public(), []byte(`{"kind":"ACK"}`))
	if err != nil {
		t.Fatal(err)
	}
	for at := range sealed {
		bits := []int{at % 8}
		if at < 48 || at >= len(sealed)-16 {
			bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
		}
		for _, bit := range bits {
			damaged := bytes.Clone(sealed)
			damaged[at] ^= 1 << bit
			if _, _, err := Open(r, damaged); err == nil {
				t.Fatalf("bit %d of byte %d flipped, and it opened", bit, at)
			}
		}
	}
}

func TestEveryLength(t *testing.T) {
	s, r := newKey(t), newKey(t)
	sealed, err := Seal(s, r.Public(), make([]byte, 2000))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(sealed) { // those of a bucket's length are opened, and fail
		if _, _, err := Open(r, sealed[:n]); err == nil {
			t.Fatalf("truncated to %d bytes, and it opened", n)
		}
	}
}

// FuzzOpen shows that nothing opens but what was sealed, and nothing panics.
// Inputs are laid over a good payload, so that the inside is reached as well.
func FuzzOpen(f *testing.F) {
	vectors := readVectors(f)
	if len(vectors) == 0 {
		f.Fatal("no seeds")
	}
	for _, v := range vectors {
		f.Add(unhex(f, v.Sealed), false)
		f.Add(unhex(f, v.Sealed), true)
	}
	recipient := private(f, vectors[0].Recipient)
	e, s := private(f, vectors[0].Ephemeral), private(f, vectors[0].Sender)
	f.Fuzz(func(t *testing.T, data []byte, inside bool) {
		payload := data
		if inside {
			payload = resealed(t, e, s, recipient.Public(), vectors[0].Body, func(plain []byte) []byte {
				copy(plain, data)
				return plain
			})
		}
		from, body, err := Open(recipient, payload)
		if err != nil {
			if !from.IsZero() || body != nil {
				t.Fatal("something came out along with an error")
			}
			return
		}
		if from != s.Public() {
			t.Fatalf("opened as from %v, who signed nothing", from)
		}
		for _, v := range vectors {
			if v.Error == "" && string(body) == v.Body {
				return
			}
		}
		t.Fatalf("opened with body %q, which nobody signed", body)
	})
}

func BenchmarkSeal(b *testing.B) {
	s, r := newKey(b), newKey(b)
	body := make([]byte, 600)
	for b.Loop() {
		if _, err := Seal(s, r.Public(), body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s, r := newKey(b), newKey(b)
	sealed, err := Seal(s, r.Public(), make([]byte, 600))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("good", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Open(r, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
	junk := bytes.Clone(sealed)
	junk[len(junk)-1] ^= 1
	b.Run("junk", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Open(r, junk); err == nil {
				b.Fatal("junk opened")
			}
		}
	})
}
