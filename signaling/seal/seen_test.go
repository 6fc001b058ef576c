package seal

import "testing"

// As many are remembered as was asked for; the oldest makes room.
func TestSeen(t *testing.T) {
	const most = 1024
	s := NewSeen(most)
	hash := func(n int) Hash { return HashOf([]byte{byte(n), byte(n >> 8)}) }
	for n := range most {
		if !s.Add(hash(n)) {
			t.Fatalf("%d is not new", n)
		}
	}
	if s.Add(hash(0)) || !s.Has(hash(most-1)) || s.Has(hash(most)) {
		t.Error("what was seen is not known")
	}
	s.Add(hash(most))
	if s.Has(hash(0)) || !s.Has(hash(1)) || s.Len() != most || len(s.ring) != most {
		t.Errorf("the oldest did not make room: %d remembered", s.Len())
	}
}
