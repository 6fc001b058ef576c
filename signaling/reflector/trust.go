package reflector

import (
	"net/netip"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

const (
	// trusted is how long a proof counts.
	trusted = 10 * time.Minute
	// maxProofs bounds the memory for them; while it is full of fresh ones,
	// further proofs are not remembered.
	maxProofs = 4096
)

// proof is a key that has shown itself at a site.
type proof struct {
	key  address.Key
	site netip.Prefix
}

// Trust tells that the owner of key has proved itself over a connection with a,
// so that a is no third party to it: for ten minutes what that key asks to be
// sent there does not count against the destination's budget and the total. The
// ten packets of a message stay.
func (b *Budget) Trust(now time.Time, key address.Key, a netip.Addr) {
	if !a.IsValid() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.proofs) >= maxProofs {
		for p, until := range b.proofs {
			if now.After(until) {
				delete(b.proofs, p)
			}
		}
		if len(b.proofs) >= maxProofs {
			return
		}
	}
	b.proofs[proof{key, site(a)}] = now.Add(trusted)
}

// knows reports whether key has proved itself at a lately.
func (b *Budget) knows(now time.Time, key address.Key, a netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, ok := b.proofs[proof{key, site(a)}]
	return ok && !now.After(until)
}
