package relay_test

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/node/relay/coturn"
)

// startCoturn starts a TURN server that is not ours, or skips the test.
func startCoturn(t *testing.T, options ...string) relay.Place {
	t.Helper()
	// Not one that the kernel hands out: another test might get it before coturn.
	at := netip.AddrPortFrom(loopback, freePorts(t, 1))
	coturn.Server{Secret: secret, At: at}.Start(t, options...)
	return relay.Place{Host: at.String(), Secret: secret}
}

// TestThroughCoturn does the same with a TURN server that is not ours.
func TestThroughCoturn(t *testing.T) {
	p := startCoturn(t)
	_, near, far := through(t, p)
	carriesInTurn(t, near, far)
	near.Keep()
	_, _ = io.WriteString(near, "the end")
	go func() { _ = near.Close() }()
	got := make([]byte, 7) // after which coturn resets the peer's connection
	if _, err := io.ReadFull(far, got); err != nil || string(got) != "the end" {
		t.Errorf("the peer read %q, error %v", got, err)
	}
	if _, err := relay.Allocate(shortly(t), relay.Place{Host: p.Host, Secret: "wrong"}, relay.Config{}); err == nil || !strings.Contains(err.Error(), "refused the credentials") {
		t.Errorf("a wrong secret: %v", err)
	}
}

// Two allocations meet by Connect: both on one coturn, each on one of its own,
// and one of them with lent credentials.
func TestConnectThroughCoturn(t *testing.T) {
	one, other := startCoturn(t), startCoturn(t)
	host := allocate(t, one)
	for name, place := range map[string]relay.Place{"same": one, "other": other, "lent": lend(t, host, "guest")} {
		t.Run(name, func(t *testing.T) {
			near, far := meet(t, host, allocate(t, place))
			carriesInTurn(t, near, far)
			ends(t, near, far)
		})
	}
}
