package nickname

import "testing"

// What the slow hash of a self-certifying name costs its reader once, and
// whoever wants to take the name over at each try.
func BenchmarkKeyHash(b *testing.B) {
	for b.Loop() {
		hashes.Lock()
		clear(hashes.m)
		hashes.Unlock()
		keyHash("alice", alice.Public())
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	n, err := ParseName("alice.peer")
	if err != nil {
		b.Fatal(err)
	}
	text := signed(b, alice, n, 7, noon).Bytes()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := DecodeRecord(text); err != nil {
			b.Fatal(err)
		}
	}
}
