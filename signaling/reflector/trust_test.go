package reflector

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/signaling"
)

// Two peers that connect again and again must not run dry the budget that
// guards third parties; but a proof at one address says nothing of another.
func TestTrust(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	peer, victim := netip.MustParseAddrPort("52.1.2.3:4000"), netip.MustParseAddrPort("53.1.2.3:4000")
	private, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b := New(Config{})
	drain := func(to netip.AddrPort, messages int) (sent int) {
		for range messages {
			p := b.Vet(now, Request{Level: signaling.Open, Dest: []netip.AddrPort{to}, Peer: address.Address{Key: private.Public(), V4: []address.Interface{{
				External: to.Addr(), Internal: to.Addr(), Port: to.Port(), NAT: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal},
			}}}})
			for p.Spend(now, to, 1) {
				sent++
			}
		}
		return sent
	}
	if got := drain(peer, 20); got != PerSiteBurst {
		t.Fatalf("an unproven destination got %d packets, want %d", got, PerSiteBurst)
	}
	b.Trust(now, private.Public(), peer.Addr())
	if got := drain(peer, 20); got != 20*PerMessage {
		t.Errorf("a proven one got %d packets, want %d", got, 20*PerMessage)
	}
	if got := drain(victim, 20); got != PerSiteBurst {
		t.Errorf("another destination got %d packets, want %d", got, PerSiteBurst)
	}
	now = now.Add(trusted + time.Second)
	if got := drain(peer, 20); got != PerSiteBurst {
		t.Errorf("after the proof has lapsed it got %d packets, want %d", got, PerSiteBurst)
	}
}

func TestTrustIsBounded(t *testing.T) {
	b, now := New(Config{}), time.Unix(1_700_000_000, 0)
	private, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 * maxProofs {
		b.Trust(now, private.Public(), netip.AddrFrom4([4]byte{52, byte(n >> 16), byte(n >> 8), byte(n)}))
	}
	if len(b.proofs) != maxProofs {
		t.Errorf("%d proofs are remembered, want %d", len(b.proofs), maxProofs)
	}
	b.Trust(now.Add(2*trusted), private.Public(), netip.MustParseAddr("53.0.0.1"))
	if len(b.proofs) != 1 {
		t.Errorf("%d proofs are left when all others have lapsed", len(b.proofs))
	}
}
