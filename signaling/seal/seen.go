package seal

import "crypto/sha256"

// Hash tells sealed payloads apart.
type Hash [16]byte

// HashOf gives that of a payload: half of its SHA-256.
func HashOf(payload []byte) Hash {
	sum := sha256.Sum256(payload)
	return Hash(sum[:16])
}

// Seen remembers the latest payloads, so that a copy of one is not opened again.
// It is not safe for concurrent use.
type Seen struct {
	known map[Hash]bool
	ring  []Hash // the same, oldest at next
	next  int
	most  int
}

// NewSeen makes one that remembers so many; each new one beyond them takes the
// place of the oldest.
func NewSeen(most int) *Seen { return &Seen{known: make(map[Hash]bool), most: most} }

// Add remembers h, and reports whether it is new.
func (s *Seen) Add(h Hash) bool {
	if s.known[h] {
		return false
	}
	if len(s.ring) < s.most {
		s.ring = append(s.ring, h)
	} else {
		delete(s.known, s.ring[s.next])
		s.ring[s.next] = h
		s.next = (s.next + 1) % s.most
	}
	s.known[h] = true
	return true
}

// Has reports whether h is remembered.
func (s *Seen) Has(h Hash) bool { return s.known[h] }

// Len is how many are remembered.
func (s *Seen) Len() int { return len(s.known) }
